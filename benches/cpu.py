#!/usr/bin/env python3
"""CPU time of a proxy for each request, next to its peers and to a floor below which no proxy can go.

The subjects take turns (A B C D A B C D ...), each started anew for its turn and alone on one CPU, the
origin and the clients on another. Counted is what the kernel charges to the subject's processes, user and
system time, from /proc/PID/stat.
"""

import statistics

from lab import command, report, subjects, tools, turns


def main():
    options = command.parser(__doc__, subjects.NAMES)
    options.add_argument(
        "--requests", type=command.positive, default=200_000, help="counted in a turn (default 200000)"
    )
    options.add_argument(
        "--warm-up", type=command.positive, default=20_000, help="before those (default 20000)"
    )
    options.add_argument("--clients", type=command.positive, default=64, help="at the same time (default 64)")
    options.add_argument("--body", type=int, default=128, help="bytes of an answer (default 128)")
    options.add_argument("--headers", type=int, default=0, help="more header fields in a request (default 0)")
    turns.add_options(options)
    command.run(measure, options.parse_args())


def measure(options, directory):
    return turns.take(options, directory, take_turn, summary, show)


def take_turn(name, options, directory):
    """Starts a subject, warms it up and measures it once."""
    load_options = ["--clients", options.clients, "--body", options.body, "--headers", options.headers]
    with (
        tools.Origin(directory, options.body, options.load_cpu) as origin,
        subjects.Subject(name, directory, origin.port, options.subject_cpu) as subject,
    ):

        def load(requests):
            counted = [*load_options, "--requests", requests]
            return tools.load(directory, subject.port, counted, 120, options.load_cpu)

        load(options.warm_up)
        meter = turns.Meter(subject, [origin])
        result = load(options.requests)
        used, foreign = meter.stop()
        return {
            "us_per_request": used / result["requests"] * 1e6,
            "requests_per_s": result["requests_per_s"],
            "p50_us": result["p50_us"],
            "p99_us": result["p99_us"],
            "foreign_cores": foreign,
        }


def summary(name, samples, failures, missing):
    """The medians of a subject's turns; the ratio is that to the floor's turn in the same round."""
    if name in missing:
        return {"name": name, "status": "not installed"}
    row = {"name": name, "version": subjects.version(name)}
    if name in failures:
        return {**row, "status": f"failed: {failures[name]}"}
    taken = samples[name]
    row["status"] = "ok"
    for key in taken[0]:
        row[key] = statistics.median(turn[key] for turn in taken)
    costs = [turn["us_per_request"] for turn in taken]
    row["us_per_request_turns"] = costs
    floor = [turn["us_per_request"] for turn in samples.get("floor", [])]
    ratios = [cost / lowest for cost, lowest in zip(costs, floor)]
    row["ratio_to_floor"] = statistics.median(ratios) if ratios else None
    return row


def show(rows, options):
    cells, notes = [], []
    for row in rows:
        title = f"{row['name']} {row.get('version', '')}".strip()
        if row["status"] != "ok":
            cells.append([title, row["status"].split(":")[0], *[""] * 5])
            notes += [f"{row['name']} {row['status']}"] if ":" in row["status"] else []
            continue
        costs, ratio = row["us_per_request_turns"], row["ratio_to_floor"]
        cells.append(
            [
                title,
                f"{row['us_per_request']:.2f}",
                f"{min(costs):.2f} .. {max(costs):.2f}",
                f"{ratio:.2f}" if ratio else "-",
                f"{row['requests_per_s']:.0f}",
                f"{row['p50_us']:.0f}",
                f"{row['p99_us']:.0f}",
            ]
        )
        notes += filter(None, [turns.noise(row["name"], row["foreign_cores"])])
    print(report.machine_line())
    print(
        f"{options.clients} keep-alive clients, {options.body}-byte answers, "
        f"{options.rounds} turns of {options.requests} requests, medians\n"
    )
    print(
        report.table(
            ["subject", "CPU us/request", "lowest .. highest", "x floor", "requests/s", "p50 us", "p99 us"],
            cells,
        )
    )
    print("".join(f"\n{note}" for note in notes), end="\n" if notes else "")


if __name__ == "__main__":
    main()
