#!/usr/bin/env python3
"""Memory of a proxy for each idle keep-alive client.

A first batch of clients is opened and held, so that what a proxy allocates once is there; then many more
come, send one request each and fall silent. The growth between the two, divided by the clients that came,
is the cost of one. Counted is the proportional set size of the subject's processes, when it has settled.
"""

import time

from lab import command, procfs, report, subjects, tools
from lab.processes import Failed

# A subject has settled when its memory is the same for so long.
STILL_SECONDS = 2
SETTLE_SECONDS = 20
# For all clients of a batch to get their answers.
OPEN_SECONDS = 120


def main():
    options = command.parser(__doc__, ["millpond", "nginx", "haproxy"])
    options.add_argument(
        "--clients", type=command.positive, default=8000, help="that are counted (default 8000)"
    )
    options.add_argument(
        "--first", type=command.positive, default=500, help="opened before those (default 500)"
    )
    command.run(measure, options.parse_args())


def measure(options, directory):
    present, _ = command.installed(options.subjects)
    rows = []
    for name in options.subjects:
        row = {"name": name, "status": "not installed"}
        if name in present:
            row |= {"version": subjects.version(name)}
            try:
                row |= take(name, options, directory)
            except Failed as failure:
                row["status"] = f"failed: {failure}"
        rows.append(row)
    if options.json:
        report.show_json({"clients": options.clients, "first": options.first, "subjects": rows})
    else:
        show(rows, options)
    return all(row["status"] in ("ok", "not installed") for row in rows)


def take(name, options, directory):
    hold = 2 * (SETTLE_SECONDS + OPEN_SECONDS)
    with (
        tools.Origin(directory) as origin,
        subjects.Subject(name, directory, origin.port) as subject,
    ):
        at_start = settled(subject)
        with tools.Idle(directory, subject.port, options.first, hold) as first:
            first.wait_ready(OPEN_SECONDS)
            before = settled(subject)
            with tools.Idle(directory, subject.port, options.clients, hold) as clients:
                clients.wait_ready(OPEN_SECONDS)
                after = settled(subject)
                kept = clients.release()
            kept += first.release()
    if kept != options.clients + options.first:
        raise Failed(f"{name} closed {options.clients + options.first - kept} of the idle connections")
    return {
        "status": "ok",
        "bytes_per_client": (after - before) / options.clients,
        "at_start_bytes": at_start,
        "before_bytes": before,
        "after_bytes": after,
    }


def settled(subject):
    """The subject's resident bytes once they no longer change, or at the latest after SETTLE_SECONDS."""
    pids = subject.pids()
    deadline = time.monotonic() + SETTLE_SECONDS
    size, since = procfs.resident_bytes(pids), time.monotonic()
    while time.monotonic() < min(deadline, since + STILL_SECONDS):
        time.sleep(0.1)
        now = procfs.resident_bytes(pids)
        if now != size:
            size, since = now, time.monotonic()
    return size


def show(rows, options):
    cells, notes = [], []
    for row in rows:
        title = f"{row['name']} {row.get('version', '')}".strip()
        if row["status"] == "ok":
            sizes = [f"{row[key] / 2**20:.1f}" for key in ("at_start_bytes", "before_bytes", "after_bytes")]
            cells.append([title, f"{row['bytes_per_client']:.0f}", *sizes])
        else:
            cells.append([title, row["status"].split(":")[0], "", "", ""])
            notes += [f"{row['name']} {row['status']}"] if ":" in row["status"] else []
    print(report.machine_line())
    print(f"{options.clients} idle keep-alive clients after the first {options.first}, one request each\n")
    head = ["subject", "bytes/client", "MiB at start", f"MiB at {options.first}"]
    print(report.table([*head, f"MiB at {options.first + options.clients}"], cells))
    print("".join(f"\n{note}" for note in notes), end="\n" if notes else "")


if __name__ == "__main__":
    main()
