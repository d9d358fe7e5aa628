#!/usr/bin/env python3
"""Instructions of each micro-benchmark, compared with the bounds in benches/micro/bounds.toml.

Each body of benches/micro runs under valgrind's callgrind twice, with more rounds the second time: the
difference of the two counts, divided by that of the rounds, is what one round takes, free of what prepares it.
Counts hardly depend on what else the machine is at, so that a change that makes something dearer by more than
the margin fails here whatever the machine is. They are those of the development build, which the tests build
anyhow: they are several times what is shipped executes, and tell whether more is done, not how fast it is.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = ROOT / "benches" / "micro" / "bounds.toml"
# What a count may exceed the figure by that was measured when the bounds were written.
MARGIN = 1.25
HEADER = """\
# Instructions of one round of each body of benches/micro in the development build, and a margin of 25 %.
# `python3 benches/counts.py` compares, and `python3 benches/counts.py --bless` writes these anew.

"""


def main():
    parser = arguments()
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed: apt install valgrind")
    program = options.program or build()
    bodies = listed(program)
    names = options.names or list(bodies)
    for name in names:
        if name not in bodies:
            parser.error(f"{name!r} is not one of {', '.join(bodies)}")
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        measure = lambda name: count(program, name, bodies[name], options.keep)
        counts = dict(zip(names, threads.map(measure, names)))
    if options.bless:
        bless(counts, options.bounds, bodies)
    sys.exit(0 if compare(counts, options.bounds, options.json) else 1)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="bodies (default: all)")
    parser.add_argument("--bless", action="store_true", help="write the bounds anew from what is counted")
    parser.add_argument("--bounds", type=Path, default=BOUNDS, metavar="FILE", help="default: micro/bounds.toml")
    parser.add_argument("--program", metavar="FILE", help="count in this build of the bench target micro")
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY", help="leave NAME.callgrind there, for callgrind_annotate"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def build():
    """The program of the development build."""
    command = ["cargo", "build", "--quiet", "--locked", "--bench", "micro", "--message-format=json"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("the build failed: cargo build --bench micro")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "micro" and message.get("executable"):
            return message["executable"]
    sys.exit("cargo built no program for the bench target micro")


def listed(program):
    """Each body, with the rounds that are enough to tell one."""
    text = subprocess.run([program, "--list-bodies"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: int(rounds) for name, rounds in (line.split() for line in text.splitlines())}


def count(program, name, rounds, keep):
    """Instructions of one round."""
    # What is done the first time only is in both.
    few = 0 if rounds == 1 else rounds // 10
    profile = "/dev/null"
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        profile = keep / f"{name}.callgrind"
    more = executed(program, name, few + rounds, profile)
    return round((more - executed(program, name, few, "/dev/null")) / rounds)


def executed(program, name, rounds, profile):
    """Instructions from the start of the program to its end."""
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
    ran = subprocess.run(
        [*valgrind, program, "--run", name, str(rounds)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    counted = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode != 0 or counted is None:
        sys.exit(f"{name}: valgrind failed:\n{ran.stderr}")
    return int(counted[1])


def bless(counts, file, bodies):
    """Writes the bounds of what was counted, and leaves those of other bodies that there are."""
    bounds = {name: bound for name, bound in read(file).items() if name in bodies}
    bounds.update({name: rounded(found * MARGIN) for name, found in counts.items()})
    file.write_text(HEADER + "".join(f"{name} = {bounds[name]}\n" for name in bodies if name in bounds))


def read(file):
    return tomllib.loads(file.read_text()) if file.exists() else {}


def rounded(number):
    """Up, to three digits that count."""
    step = 10 ** max(len(str(int(number))) - 3, 0)
    return -(-int(number) // step) * step


def compare(counts, file, as_json):
    """Prints the counts beside the bounds; whether all are within."""
    bounds = read(file)
    missing = [name for name in counts if name not in bounds]
    if missing:
        sys.exit(f"{file} has no bound for {', '.join(missing)}: run with --bless")
    exceeded = [name for name, found in counts.items() if found > bounds[name]]
    if as_json:
        print(json.dumps({name: {"instructions": counts[name], "bound": bounds[name]} for name in counts}))
    else:
        print(f"{'body':24} {'instructions':>14} {'bound':>14} {'share':>7}")
        for name, found in counts.items():
            flag = "  EXCEEDED" if name in exceeded else ""
            print(f"{name:24} {found:14,} {bounds[name]:14,} {found / bounds[name]:7.0%}{flag}")
    if exceeded:
        print(
            f"\n{', '.join(exceeded)}: more is executed than {file.name} allows. --keep DIRECTORY leaves a profile "
            f"that says where. If it is meant, write the bounds anew with --bless, and say in the commit why.",
            file=sys.stderr,
        )
    return not exceeded


if __name__ == "__main__":
    main()
