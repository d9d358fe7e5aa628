#!/usr/bin/env python3
"""Memory of a proxy for each idle keep-alive client.

A first batch of clients is opened and held, so that what a proxy allocates once is there; then many more
come, send one request each and fall silent. The growth between the two, divided by the clients that came,
is the cost of one. Counted is the proportional set size of the subject's processes, when it has settled.
"""

from lab import command, idleness, report, subjects
from lab.processes import Failed


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
                measured = idleness.take(name, directory, options.clients, options.first)
                row |= {"status": "ok", **measured}
            except Failed as failure:
                row["status"] = f"failed: {failure}"
        rows.append(row)
    if options.json:
        report.show_json({"clients": options.clients, "first": options.first, "subjects": rows})
    else:
        show(rows, options)
    return all(row["status"] in ("ok", "not installed") for row in rows)


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
