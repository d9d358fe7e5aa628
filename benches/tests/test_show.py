"""The table, as text, Markdown, JSON and picture, of figures made up here."""

import json
import unittest
from types import SimpleNamespace
from unittest import mock
from xml.etree import ElementTree

from peers import picture, show
from peers.scenario import Outcome, limited, notes
from peers.verdict import Bar, Case, row

CPU = Case("a", "64 clients & more: CPU a request", "µs", (Bar(0.9, ("nginx",)), Bar(0.45, ("envoy",))))
RATE = Case("h", "round trips a second", "/s", (Bar(1.0),), "higher", 0)
SVG = "{http://www.w3.org/2000/svg}"


def result():
    samples = {
        "floor": [{"a": 8.0}, {"a": 8.0}],
        "millpond": [{"a": 9.6, "h": 20_000.0}, {"a": 9.6, "h": 20_000.0}],
        "nginx": [{"a": 10.0}, {"a": 10.0}],
        "haproxy-splice": [{"h": 10_000.0}, {"h": 10_000.0}],
    }

    def of(key):
        return {name: [turn[key] for turn in taken if key in turn] for name, taken in samples.items()}

    rows = [row(case, of(case.key)) for case in (CPU, RATE)]
    scenario = SimpleNamespace(letter="a", title="64 clients")
    outcome = Outcome(scenario, rows, ["envoy"], {"caddy": "ended"}, samples, ["it was loud"])
    settings = SimpleNamespace(rounds=2, scale=1.0)
    return show.Result([outcome], {}, settings, ["get it"], 90.0)


class Table(unittest.TestCase):
    def setUp(self):
        patched = mock.patch("peers.show.subjects.version", lambda name: {"floor": ""}.get(name, "1.2"))
        patched.start()
        self.addCleanup(patched.stop)

    def test_text_has_figures_verdicts_and_what_is_missing(self):
        text = show.text(result())
        line = next(line for line in text.splitlines() if line.startswith("a. 64"))
        self.assertEqual(line.split()[-10:-3], ["µs", "8.00", "9.60", "10.00", "-", "nginx", "0.96"])
        self.assertIn("0 of 2", line)
        self.assertIn("NOT reached  0.96 ≤ 0.9 of nginx", text)
        self.assertIn("not judged   - ≤ 0.45 of envoy", text)
        self.assertIn("reached      2.00 ≥ 1 of the best", text)
        for told in ("envoy is not installed", "get it", "a: caddy failed: ended", "a: it was loud"):
            self.assertIn(told, text)

    def test_markdown_is_a_table_and_what_was_not_reached(self):
        lines = show.markdown(result()).splitlines()
        cells = [line.count("|") for line in lines if line.startswith("|")]
        self.assertEqual(len(set(cells)), 1, "every line of the table has as many cells")
        self.assertIn("- 64 clients & more: CPU a request: 0.96, to be ≤ 0.9 of nginx.", lines)
        self.assertFalse([line for line in lines if line.startswith("- round trips")])

    def test_what_the_load_limited_is_marked(self):
        limited = result()
        self.assertNotIn(show.LIMITED, show.text(limited))
        limited.outcomes[0].rows[1].limited = frozenset({"millpond"})
        self.assertIn(f"20,000{show.LIMITED} ", show.markdown(limited))
        self.assertIn(f"{show.LIMITED} waited for the clients", show.text(limited))

    def test_json_has_every_turn(self):
        whole = json.loads(show.as_json(result()))
        self.assertEqual(whole["rows"][0]["turns"]["nginx"], [10.0, 10.0])
        self.assertEqual(whole["rows"][1]["best_peer"], "haproxy-splice")
        self.assertEqual(whole["rows"][0]["verdicts"][1]["reached"], None)
        self.assertEqual(whole["missing"], ["envoy"])

    def test_a_shortened_run_says_so(self):
        short = result()
        short.settings.scale = 0.2
        self.assertIn("no figures to quote", show.markdown(short))
        self.assertNotIn("no figures to quote", show.markdown(result()))


class Picture(unittest.TestCase):
    def test_worse_is_right_of_millpond_and_better_is_left(self):
        drawn = ElementTree.fromstring(picture.svg(result()))
        one = next(each for each in drawn.iter(SVG + "line") if each.get("class") == "one")
        places = {}
        for group in drawn.iter(SVG + "g"):
            if (title := group.find(SVG + "title")) is not None:
                places[title.text] = float(group.find(SVG + "circle").get("cx"))
        at_one = float(one.get("x1"))
        self.assertLess(places["floor: 8.00 µs, 0.83 times"], at_one)
        self.assertGreater(places["nginx: 10.00 µs, 1.04 times"], at_one)
        # Half of the round trips is twice as bad.
        self.assertGreater(places["HAProxy splice: 10,000 /s, 2.00 times"], at_one)

    def test_marks_stay_within_the_picture(self):
        for value, side in ((1e-9, picture.LEFT), (1e9, picture.WIDTH - picture.RIGHT)):
            low, high = picture._range([value])
            self.assertAlmostEqual(picture._x(value, low, high), side)

    def test_no_mark_covers_another(self):
        made = picture._apart([100.0, 101.0, 102.0, 103.0, 104.0, 300.0])
        for place, (x, level) in enumerate(made):
            for other, other_level in made[:place]:
                self.assertTrue(level != other_level or abs(x - other) >= picture.APART, made)
        self.assertEqual((made[0], made[5]), ((100.0, 0), (300.0, 0)))

    def test_what_the_load_limited_is_left_out(self):
        limited = result()
        limited.outcomes[0].rows[1].limited = frozenset({"millpond"})
        self.assertNotIn("round trips", picture.svg(limited))
        limited.outcomes[0].rows[0].limited = frozenset({"nginx"})
        self.assertNotIn("nginx: ", picture.svg(limited))

    def test_nothing_measured_is_still_a_picture(self):
        empty = result()
        empty.outcomes[0].rows = []
        ElementTree.fromstring(picture.svg(empty))


class Notes(unittest.TestCase):
    def test_who_waited_for_the_load_is_known(self):
        samples = {
            "millpond": [{"f busy": 0.5}, {"f busy": 0.94}, {"f busy": 0.99}],
            "haproxy": [{"f busy": 0.97}],
            "nginx": [{"other": 1.0}],
        }
        self.assertEqual(limited("f", samples), {"millpond"})

    def test_clients_that_are_late_are_told(self):
        early, late = ({"late_p99_us": us, "k p99": 1000} for us in (100, 600))
        told = notes({"millpond": [early, early, late], "nginx": [late]})
        self.assertEqual(len(told), 1)
        self.assertTrue(told[0].startswith("nginx: the clients"), told)

    def test_others_on_the_machine_are_told(self):
        quiet, loud = {"foreign_cores": 0.01}, {"foreign_cores": 0.7}
        self.assertEqual(notes({"millpond": [quiet, quiet, loud]}), [])
        told = notes({"millpond": [quiet, loud, loud], "nginx": [quiet], "idle": [{}]})
        self.assertEqual(len(told), 1)
        self.assertIn("millpond: other programs used 0.70 cores", told[0])


if __name__ == "__main__":
    unittest.main()
