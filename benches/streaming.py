#!/usr/bin/env python3
"""Peak memory of a proxy while it moves bytes both ways at once through slow readers.

Fifty sessions move 256 MiB up and 256 MiB down at the same time. The clients and the backend read in small
steps with pauses, so the proxy is always offered more than it can pass on: one that buffers without bound
would hold hundreds of megabytes. Every byte is checked at both ends.
"""

from lab import command, procfs, report, subjects, tools
from lab.processes import Failed

LIMIT_MIB = 64
PROTOCOLS = ["tcp", "http"]
RUN_SECONDS = 180


def main():
    options = command.parser(__doc__, ["millpond", "haproxy"], default=["millpond"])
    options.add_argument(
        "--sessions", type=command.positive, default=50, help="at the same time (default 50)"
    )
    options.add_argument(
        "--mib", type=command.positive, default=256, help="each way, of all sessions (default 256)"
    )
    options.add_argument(
        "--pause-ms", type=command.positive, default=30, help="after each read of 16 KiB (default 30)"
    )
    command.run(measure, options.parse_args())


def measure(options, directory):
    present, _ = command.installed(options.subjects)
    rows = []
    for name in options.subjects:
        for protocol in PROTOCOLS:
            row = {"name": name, "protocol": protocol, "status": "not installed"}
            if name in present:
                row |= {"version": subjects.version(name)}
                try:
                    row |= take(name, protocol, options, directory)
                except Failed as failure:
                    row["status"] = f"failed: {failure}"
            rows.append(row)
    if options.json:
        settings = {"sessions": options.sessions, "mib_each_way": options.mib, "limit_mib": LIMIT_MIB}
        report.show_json({"settings": settings, "runs": rows})
    else:
        show(rows, options)
    return all(row.get("pass", True) and not row["status"].startswith("failed") for row in rows)


def take(name, protocol, options, directory):
    size = options.mib * 2**20
    pace = ["--pause-ms", options.pause_ms]
    sessions = ["--sessions", options.sessions, "--up", size, "--down", size, *pace]
    with (
        tools.StreamBackend(directory, protocol, pace) as backend,
        subjects.Subject(name, directory, backend.port, protocol=protocol) as subject,
    ):
        at_start = procfs.peak_resident_bytes(subject.pids())
        result = tools.stream(directory, subject.port, protocol, sessions, RUN_SECONDS)
        peak = procfs.peak_resident_bytes(subject.pids())
    row = {"status": "ok", "peak_bytes": peak, "at_start_bytes": at_start, **result}
    if result["failed"] or result["wrong_bytes"]:
        row["status"] = (
            f"failed: {result['failed']} sessions, {result['wrong_bytes']} wrong bytes, "
            f"first error {result['first_error']}"
        )
    if name == "millpond":
        # The condition is the product's; the peers are there to compare with.
        row["pass"] = row["status"] == "ok" and peak < LIMIT_MIB * 2**20
    return row


def show(rows, options):
    cells, notes = [], []
    for row in rows:
        title = f"{row['name']} {row.get('version', '')} {row['protocol']}".replace("  ", " ")
        if row["status"] != "ok":
            cells.append([title, row["status"].split(":")[0], *[""] * 5])
            notes += [f"{row['name']} {row['protocol']} {row['status']}"] if ":" in row["status"] else []
            continue
        verdict = {True: "pass", False: "FAIL", None: ""}[row.get("pass")]
        cells.append(
            [
                title,
                f"{row['peak_bytes'] / 2**20:.1f}",
                f"{row['at_start_bytes'] / 2**20:.1f}",
                f"{row['bytes_up'] / 2**20:.0f} / {row['bytes_down'] / 2**20:.0f}",
                f"{row['seconds']:.1f}",
                f"{row['both_ways_s']:.1f}",
                verdict,
            ]
        )
    print(report.machine_line())
    print(f"{options.sessions} sessions, {options.mib} MiB each way, slow readers at both ends\n")
    head = [
        "subject",
        "peak MiB",
        "at start",
        "MiB up / down",
        "seconds",
        "both ways s",
        f"millpond < {LIMIT_MIB} MiB",
    ]
    print(report.table(head, cells))
    print("".join(f"\n{note}" for note in notes), end="\n" if notes else "")


if __name__ == "__main__":
    main()
