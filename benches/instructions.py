#!/usr/bin/env python3
"""Instructions in user space that millpond's worker executes for each request, for each client's connection, and
for each short session in TCP.

It runs under valgrind's callgrind twice, with one load and with a longer one. Counted is the thread that
executed the most, which is the worker; the difference of the two counts, divided by that of the loads, is free
of what it does when it starts, warms up and ends. The figure hardly depends on what else the machine is at, so
that it can be compared with that of another build or another day. What the kernel does is not in it: system
calls are the larger part of a proxy's work.
"""

import re
import shutil
import sys
from pathlib import Path

from lab import command, report, subjects, tools
from lab.processes import Failed

# What the loads do: clients that keep their connections, clients that come for one request each, and clients that
# come for one message to and fro, and leave by a reset.
LOADS = {
    "request": [],
    "connection": ["--reconnect"],
    "session": ["--reconnect", "--echo", 64, "--close", "reset", "--sources", 16],
}
# Those that carry TCP.
TCP = {"session"}
# The shorter load, in requests: in it, everything is done for the first time that is done for the first time.
SHORT = {"request": 4000, "connection": 1000, "session": 1000}
# Under valgrind everything takes 20 to 50 times as long.
LOAD_SECONDS = 300


def main():
    options = command.parser(__doc__, ["millpond"])
    options.add_argument(
        "--units",
        type=lambda text: command.names(text, list(LOADS)),
        default=list(LOADS),
        metavar="A,B",
        help=f"of {', '.join(LOADS)} (default: all)",
    )
    options.add_argument(
        "--requests", type=command.positive, default=10_000, help="by which the loads differ (default 10000)"
    )
    options.add_argument("--clients", type=command.positive, default=64, help="at the same time (default 64)")
    options.add_argument("--body", type=int, default=128, help="bytes of an answer (default 128)")
    options.add_argument("--headers", type=int, default=0, help="more header fields in a request (default 0)")
    options.add_argument("--keep", metavar="DIRECTORY", help="leaves the profiles there, for callgrind_annotate")
    command.run(measure, options.parse_args())


def measure(options, directory):
    if shutil.which("valgrind") is None:
        raise Failed("valgrind is not installed: apt install valgrind")
    counts = {unit: cost(unit, options, directory) for unit in options.units}
    settings = {key: getattr(options, key) for key in ("requests", "clients", "body", "headers")}
    if options.json:
        report.show_json({"settings": settings, "instructions": counts})
        return True
    print(report.machine_line())
    print(f"{options.clients} clients, {options.body}-byte answers, over {options.requests} requests\n")
    rows = [[f"a {unit}", f"{count:.0f}"] for unit, count in counts.items()]
    print(report.table(["millpond", "instructions"], rows))
    return True


def cost(unit, options, directory):
    """Instructions for each of the requests by which the two loads differ."""
    short = executed(unit, SHORT[unit], options, directory)
    long = executed(unit, SHORT[unit] + options.requests, options, directory)
    return (long - short) / options.requests


def executed(unit, requests, options, directory):
    """Instructions that the busiest thread executed from its start to its end."""
    profiles = Path(options.keep or directory).resolve()
    name = f"callgrind.{unit}.{requests}"
    for old in profiles.glob(f"{name}.*"):
        old.unlink()
    valgrind = ["valgrind", "--tool=callgrind", "--separate-threads=yes"]
    valgrind += [f"--callgrind-out-file={profiles}/{name}.%p"]
    load = ["--clients", options.clients, "--requests", requests, "--timeout-ms", 1000 * LOAD_SECONDS]
    load += LOADS[unit]
    if unit in TCP:
        protocol, more = "tcp", ["--echo"]
    else:
        protocol, more = "http", []
        load += ["--body", options.body, "--headers", options.headers]
    with (
        tools.Origin(directory, options.body, more=more) as origin,
        subjects.Subject(
            "millpond", directory, origin.port, protocol=protocol, census="60s", under=valgrind
        ) as subject,
    ):
        tools.load(directory, subject.port, load, LOAD_SECONDS)
    return max(map(total, profiles.glob(f"{name}.*")), default=0) or sys.exit("valgrind wrote no profile")


def total(profile):
    """The instructions in one profile, which is that of one thread."""
    found = re.findall(r"^(?:summary|totals): (\d+)", profile.read_text(encoding="utf-8"), re.MULTILINE)
    return max(map(int, found), default=0)


if __name__ == "__main__":
    main()
