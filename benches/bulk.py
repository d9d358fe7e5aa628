#!/usr/bin/env python3
"""CPU time of a TCP proxy for each GiB that passes it, next to its peers and to a plain copying loop.

The subjects take turns (A B C D A B C D ...), each started anew for its turn and alone on one CPU, the
clients and the backend on another. In its turn a subject carries one flow and then many at once, each first
from the clients to the backend and then back. Every byte is checked. Counted is what the kernel charges to
the subject's processes, user and system time, from /proc/PID/stat.
"""

import statistics

from lab import command, flows, report, subjects, turns

GIB = 2**30
WARM_UP_MIB = 64


def main():
    options = command.parser(__doc__, subjects.TCP_NAMES)
    options.add_argument(
        "--mib", type=command.positive, default=2048, help="of all flows, each way (default 2048)"
    )
    options.add_argument("--flows", type=command.positive, default=32, help="beside the one (default 32)")
    turns.add_options(options)
    command.run(measure, options.parse_args())


def measure(options, directory):
    return turns.take(options, directory, take_turn, summary, show)


def cases(options):
    """(name, flows, direction) of what is measured in a turn."""
    counts = sorted({1, options.flows})
    return [(f"{count} {way}", count, way) for count in counts for way in ("up", "down")]


def take_turn(name, options, directory):
    """Starts a subject, warms it up and measures each case once."""
    with (
        flows.backend(directory, options.load_cpu) as backend,
        subjects.Subject(name, directory, backend.port, options.subject_cpu, protocol="tcp") as subject,
    ):

        def carry(count, way, mib):
            return flows.carry(directory, subject, count, way, mib * 2**20, options.load_cpu)

        measured = {}
        for case, count, way in cases(options):
            carry(count, way, WARM_UP_MIB)
            meter = turns.Meter(subject, [backend])
            result = carry(count, way, options.mib)
            used, foreign = meter.stop()
            carried = result["bytes_up"] + result["bytes_down"]
            measured[case] = {
                "ms_per_gib": used * 1000 / (carried / GIB),
                "gib_per_s": carried / GIB / result["seconds"],
                "foreign_cores": foreign,
            }
        return measured


def summary(name, samples, failures, missing):
    """The medians of a subject's turns; the ratio is that to the floor's turn in the same round."""
    if name in missing:
        return {"name": name, "status": "not installed"}
    row = {"name": name, "version": subjects.version(name)}
    if name in failures:
        return {**row, "status": f"failed: {failures[name]}"}
    row |= {"status": "ok", "cases": {}}
    for case in samples[name][0]:
        taken = [turn[case] for turn in samples[name]]
        figures = {key: statistics.median(turn[key] for turn in taken) for key in taken[0]}
        costs = [turn["ms_per_gib"] for turn in taken]
        floor = [turn[case]["ms_per_gib"] for turn in samples.get("floor", [])]
        ratios = [cost / copied for cost, copied in zip(costs, floor)]
        figures["ms_per_gib_turns"] = costs
        figures["ratio_to_floor"] = statistics.median(ratios) if ratios else None
        row["cases"][case] = figures
    return row


def show(rows, options):
    print(report.machine_line())
    print(f"{options.rounds} turns of {options.mib} MiB, medians")
    notes = [f"{row['name']} {row['status']}" for row in rows if row["status"] != "ok"]
    head = ["subject", "CPU ms/GiB", "lowest .. highest", "x floor", "GiB/s"]
    for case, count, way in cases(options):
        cells = []
        for row in rows:
            if row["status"] != "ok":
                continue
            figures = row["cases"][case]
            costs, ratio = figures["ms_per_gib_turns"], figures["ratio_to_floor"]
            cells.append(
                [
                    f"{row['name']} {row['version']}".strip(),
                    f"{figures['ms_per_gib']:.0f}",
                    f"{min(costs):.0f} .. {max(costs):.0f}",
                    f"{ratio:.2f}" if ratio else "-",
                    f"{figures['gib_per_s']:.2f}",
                ]
            )
            notes += filter(None, [turns.noise(f"{row['name']}, {case}", figures["foreign_cores"])])
        print(f"\n{count} {'flow' if count == 1 else 'flows'} {way}\n{report.table(head, cells)}")
    print("".join(f"\n{note}" for note in notes), end="\n" if notes else "")


if __name__ == "__main__":
    main()
