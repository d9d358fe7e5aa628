"""benches/counts.py, with a program and a valgrind that only pretend."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

COUNTS = Path(__file__).resolve().parent.parent / "counts.py"
PROGRAM = """\
#!/bin/sh
printf 'cheap 100\\ndear 1\\n'
"""
# 5,000 instructions until the program is ready; then 40 for a round of `cheap`, and 7,000 for one of `dear`.
VALGRIND = """\
#!/bin/sh
case $5 in cheap) each=40 ;; dear) each=7000 ;; *) exit 1 ;; esac
echo "==1== Collected : $((5000 + each * $6))" >&2
"""


class Guard(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.bounds = self.directory / "bounds.toml"
        self.program = self.script("micro", PROGRAM)
        self.script("valgrind", VALGRIND)

    def script(self, name, text):
        file = self.directory / name
        file.write_text(text)
        file.chmod(0o755)
        return file

    def counts(self, *options):
        path = f"{self.directory}:{os.environ['PATH']}"
        command = [sys.executable, COUNTS, "--program", self.program, "--bounds", self.bounds, *options]
        return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)

    def test_a_count_within_its_bound_passes(self):
        self.bounds.write_text("cheap = 40\ndear = 7001\n")
        ran = self.counts("--json")
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertEqual(json.loads(ran.stdout)["cheap"], {"instructions": 40, "bound": 40})

    def test_a_count_above_its_bound_fails_and_is_named(self):
        self.bounds.write_text("cheap = 39\ndear = 7001\n")
        ran = self.counts()
        self.assertEqual(ran.returncode, 1)
        flagged = [line.split()[0] for line in ran.stdout.splitlines() if "EXCEEDED" in line]
        self.assertEqual(flagged, ["cheap"])
        self.assertIn("cheap: more is executed than bounds.toml allows", ran.stderr)

    def test_a_body_without_a_bound_fails(self):
        self.bounds.write_text("cheap = 40\n")
        ran = self.counts()
        self.assertEqual(ran.returncode, 1)
        self.assertIn("has no bound for dear: run with --bless", ran.stderr)

    def test_bounds_are_written_anew_with_a_margin(self):
        self.assertEqual(self.counts("--bless").returncode, 0)
        self.assertIn("cheap = 50\ndear = 8750\n", self.bounds.read_text())

    def test_one_is_written_anew_and_the_others_stay(self):
        self.bounds.write_text("cheap = 1\ndear = 2\ngone = 3\n")
        self.assertEqual(self.counts("--bless", "dear").returncode, 0)
        self.assertIn("cheap = 1\ndear = 8750\n", self.bounds.read_text())
        self.assertNotIn("gone", self.bounds.read_text())

    def test_a_valgrind_that_fails_is_no_count(self):
        self.script("valgrind", "#!/bin/sh\necho 'cannot run here' >&2\nexit 1\n")
        self.bounds.write_text("cheap = 40\ndear = 7001\n")
        ran = self.counts()
        self.assertEqual(ran.returncode, 1)
        self.assertIn("cannot run here", ran.stderr)

    def test_a_name_that_is_none_is_refused(self):
        ran = self.counts("cheep")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("'cheep' is not one of cheap, dear", ran.stderr)


if __name__ == "__main__":
    unittest.main()
