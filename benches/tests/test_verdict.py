"""The arithmetic of benches/peers: medians, ratios, and whether a bar is reached."""

import unittest

from peers.verdict import Bar, Case, best, judge, ratio, row


def case(better="lower", *bars):
    return Case("x", "a case", "µs", bars, better)


class Ratios(unittest.TestCase):
    def test_they_are_of_turns_in_the_same_round(self):
        # The second round was slow for both; the medians alone, 2 and 1.5, would say 1.33.
        self.assertEqual(ratio([1.0, 8.0, 2.0], [1.0, 10.0, 1.5]), 1.0)

    def test_there_is_none_to_nothing(self):
        self.assertIsNone(ratio([1.0], [0.0]))
        self.assertEqual(ratio([1.0, 2.0], [0.0, 1.0]), 2.0)


class Best(unittest.TestCase):
    def test_is_the_lowest_or_the_highest(self):
        figures = {"nginx": 2.0, "haproxy": 3.0}
        self.assertEqual(best(case(), figures, ["haproxy", "nginx", "caddy"]), "nginx")
        self.assertEqual(best(case("higher"), figures, figures), "haproxy")
        self.assertIsNone(best(case(), figures, ["caddy"]))

    def test_is_a_peer(self):
        made = row(case(), {"floor": [1.0], "millpond": [2.0], "nginx": [4.0], "haproxy": []})
        self.assertEqual((made.best, made.ratio), ("nginx", 0.5))
        self.assertEqual(made.figures, {"floor": 1.0, "millpond": 2.0, "nginx": 4.0})

    def test_a_row_has_the_medians(self):
        made = row(case(), {"millpond": [9.0, 1.0, 2.0], "nginx": [4.0, 4.0, 4.0]})
        self.assertEqual(made.figures["millpond"], 2.0)
        self.assertEqual(made.turns["millpond"], [9.0, 1.0, 2.0])


    def test_nothing_is_judged_where_the_load_was_the_limit(self):
        turns = {"millpond": [2.0], "nginx": [1.0], "haproxy": [0.5]}
        bars = (Bar(1.0),)
        self.assertEqual(row(case("higher", *bars), turns).verdicts[0][1:], (2.0, True))
        self.assertEqual(row(case("higher", *bars), turns, {"haproxy"}).verdicts[0][1:], (2.0, True))
        for limited in ("millpond", "nginx"):
            self.assertEqual(row(case("higher", *bars), turns, {limited}).verdicts[0][1:], (2.0, None))


class Bars(unittest.TestCase):
    turns = {"millpond": [9.0], "nginx": [10.0], "haproxy": [12.0], "pingora": [30.0], "floor": [8.0]}

    def held(self, bar, better="lower", turns=None):
        return judge(case(better), bar, turns or self.turns)

    def test_against_the_best_of_some(self):
        self.assertEqual(self.held(Bar(0.90, ("nginx", "haproxy"))), (0.9, True))
        self.assertEqual(self.held(Bar(0.89, ("nginx", "haproxy"))), (0.9, False))
        self.assertEqual(self.held(Bar(0.55, ("pingora",))), (0.3, True))
        self.assertEqual(self.held(Bar(1.1, ("floor",))), (1.125, False))

    def test_against_the_best_of_all_peers_but_not_the_floor(self):
        self.assertEqual(self.held(Bar(0.9)), (0.9, True))

    def test_where_more_is_better(self):
        turns = {"millpond": [10.0], "nginx": [10.0], "haproxy": [9.0]}
        self.assertEqual(self.held(Bar(1.0), "higher", turns), (1.0, True))
        self.assertEqual(self.held(Bar(1.0, above=True), "higher", turns), (1.0, False))
        self.assertEqual(self.held(Bar(9, absolute=True), "higher", turns), (10.0, True))
        self.assertEqual(self.held(Bar(11, absolute=True), "higher", turns), (10.0, False))

    def test_nothing_is_judged_without_figures(self):
        self.assertEqual(self.held(Bar(0.45, ("envoy",))), (None, None))
        self.assertEqual(self.held(Bar(1.0), turns={"nginx": [1.0]}), (None, None))
        self.assertEqual(self.held(Bar(600, absolute=True), turns={"millpond": [601.0]}), (601.0, False))

    def test_their_text_says_what_is_asked(self):
        self.assertEqual(Bar(0.9, ("nginx", "haproxy")).text("lower"), "≤ 0.9 of nginx/haproxy")
        self.assertEqual(Bar(1.0).text("higher"), "≥ 1 of the best")
        self.assertEqual(Bar(600, absolute=True).text("lower"), "≤ 600")
        self.assertEqual(Bar(1.0, above=True).text("higher"), "> 1 of the best")


if __name__ == "__main__":
    unittest.main()
