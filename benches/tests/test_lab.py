"""Configurations that are filled in, and what the check for equals sees."""

import unittest

from lab import build, templates
from peers import equivalence
from peers.lifecycle import addresses

WORDS = ["ADMIN", "DIRECTORY", "PROTOCOL", "WORKERS", "CENSUS", "RUNTIME", "MORE", "SPLICE", "LOAD_MODULE"]


class Templates(unittest.TestCase):
    def test_lines_are_repeated_for_each_item(self):
        text = "begin @A@\n# @each X@\nx@NUMBER@ @P@ @A@;\n# @end@\nend\n"
        filled = templates.fill(text, {"A": 7}, {"X": [{"P": 1}, {"P": 2}]})
        self.assertEqual(filled, "begin 7\nx0 1 7;\nx1 2 7;\nend\n")

    def test_a_word_that_nobody_gave_is_an_error(self):
        with self.assertRaisesRegex(KeyError, "OTHER"):
            templates.fill("@OTHER@", {}, {})
        with self.assertRaises(KeyError):
            templates.fill("# @each X@\n# @end@\n", {}, {})

    def test_every_configuration_can_be_filled(self):
        lists = {
            "LISTENER": [{"PORT": 20_001}, {"PORT": 20_002}],
            "ENDPOINT": [{"ADDRESS": address, "ORIGIN": 30_000} for address in addresses(300)],
        }
        templates_there = sorted(build.CONFIGS.iterdir())
        self.assertGreaterEqual(len(templates_there), 8)
        for path in templates_there:
            with self.subTest(path.name):
                filled = templates.fill(path.read_text("utf-8"), dict.fromkeys(WORDS, "x"), lists)
                self.assertNotIn("@each", filled)
                for once in ("20001", "20002"):
                    self.assertEqual(filled.count(once), path.name != "pingora.txt")
                self.assertIn("127.1.1.50", filled)


class Addresses(unittest.TestCase):
    def test_they_are_all_different_and_loopback(self):
        made = addresses(10_000)
        self.assertEqual(len(set(made)), 10_000)
        self.assertEqual((made[0], made[-1]), ("127.1.0.1", "127.1.39.250"))


class Equivalence(unittest.TestCase):
    HEAD = b"GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.9, 127.0.0.1\r\n"

    def test_one_connection_for_all_requests_is_what_was_agreed(self):
        self.assertEqual(equivalence.judge([[self.HEAD] * 10]), [])

    def test_the_address_may_come_in_a_field_of_its_own(self):
        head = b"GET / HTTP/1.1\r\nx-forwarded-for: 192.0.2.9\r\nx-forwarded-for: 127.0.0.1\r\n"
        self.assertEqual(equivalence.judge([[head] * 10]), [])

    def test_no_keep_alive_is_seen(self):
        self.assertIn("10 connections", equivalence.judge([[self.HEAD]] * 10)[0])

    def test_a_missing_address_is_seen(self):
        for value in (b"192.0.2.9", b"127.0.0.1", b""):
            head = b"GET / HTTP/1.1\r\nX-Forwarded-For: " + value + b"\r\n"
            self.assertIn("X-Forwarded-For", equivalence.judge([[head] * 10])[0])

    def test_lost_requests_are_seen(self):
        self.assertIn("9 requests came of 10", equivalence.judge([[self.HEAD] * 9])[0])


if __name__ == "__main__":
    unittest.main()
