#!/usr/bin/env python3
"""Upstream connections that a proxy opens, for millions of requests that could share a few.

keep-alive   64 clients that keep their connections, against one endpoint
reconnect    the same number of requests from clients that connect for each of them
slow         eight slow keep-alive clients, with one worker and with two

Connections are counted by millpond's own `GET /stats` and, independently, by the origin that accepts them.
Sockets in TIME_WAIT are the kernel's count, the highest of several looks at /proc/net/tcp during the run:
those that dialled the origin's port, those at the origin, and both after the subject was stopped.
"""

import json
import time
import urllib.request

from lab import command, procfs, report, subjects, tools
from lab.processes import Failed

CLIENTS = 64
REUSE_PERCENT = 99.99
# So many connections, one a client, are more than 0.01 % of fewer requests.
JUDGED_FROM = 1_000_000
SLOW_CLIENTS = 8
SLOW_THINK_MS = 200
SLOW_POINTS = 2.0
LOOK_SECONDS = 5


def main():
    options = command.parser(__doc__, subjects.NAMES, default=["millpond"])
    options.add_argument(
        "--requests", type=command.positive, default=1_000_000, help="of the fast clients (default 1000000)"
    )
    options.add_argument(
        "--seconds", type=command.positive, default=900, help="at most, for a run of those (default 900)"
    )
    options.add_argument(
        "--slow-seconds", type=command.positive, default=30, help="for a run of the slow ones (default 30)"
    )
    options.add_argument(
        "--client-close", choices=["reset", "fin"], default="reset", help="of clients that reconnect"
    )
    command.run(measure, options.parse_args())


def measure(options, directory):
    present, missing = command.installed(options.subjects)
    runs = []
    for name in present:
        for title, clients, workers, seconds in scenarios(name, options):
            run = {"subject": name, "scenario": title, "workers": workers, "status": "ok"}
            try:
                run |= take(name, directory, clients, workers, seconds)
                run["conditions"] = conditions(run, options)
            except Failed as failure:
                run["status"] = f"failed: {failure}"
            runs.append(run)
    compare_slow(runs)
    runs += [{"subject": name, "status": "not installed"} for name in missing]
    if options.json:
        report.show_json({"requests": options.requests, "runs": runs})
    else:
        show(runs, options)
    # The conditions are the product's; the peers and the floor are there to compare with.
    judged = [run for run in runs if run["subject"] == "millpond"]
    failed = [run for run in runs if run["status"].startswith("failed")]
    return not failed and all(all(run["conditions"].values()) for run in judged)


def scenarios(name, options):
    """(title, the load's options, workers, seconds); only millpond has workers to choose."""
    fast = ["--clients", CLIENTS, "--requests", options.requests]
    yield "keep-alive", fast, 1, options.seconds
    # Each connection of a client is a port for a minute if it closes by FIN: use more addresses.
    reconnect = [*fast, "--reconnect", "--close", options.client_close, "--sources", 16]
    yield "reconnect", reconnect, 1, options.seconds
    slow = ["--clients", SLOW_CLIENTS, "--think-ms", SLOW_THINK_MS, "--requests", 1_000_000]
    for workers in (1, 2) if name == "millpond" else (1,):
        yield "slow", slow, workers, options.slow_seconds


def take(name, directory, clients, workers, seconds):
    overflows = procfs.time_wait_overflows()
    with (
        tools.Origin(directory) as origin,
        subjects.Subject(name, directory, origin.port, workers=workers) as subject,
    ):
        with tools.Load(directory, subject.port, clients, seconds) as load:
            dialled, accepted = watch_time_wait(load, origin.port)
            result = load.result()
        stats = endpoint_stats(subject.admin) if name == "millpond" else {}
        subject.stop()
        after_stop = sum(procfs.time_wait(origin.port))
        seen = json.loads(origin.stop())
    if result["aborted"] or not result["requests"]:
        raise Failed(f"{result['errors']} of the load's requests failed: {result['error_kinds']}")
    opened = stats.get("opened_total", seen["accepted"])
    reused = stats.get("reused_total", seen["requests"] - seen["accepted"])
    return {
        "requests": result["requests"],
        "errors": result["errors"],
        "error_kinds": result["error_kinds"],
        "seconds": result["seconds"],
        "client_connections": result["connections_opened"],
        "opened": opened,
        "accepted_by_origin": seen["accepted"],
        "reuse_percent": 100 * reused / max(1, opened + reused),
        "time_wait": dialled,
        "time_wait_at_origin": accepted,
        "time_wait_after_stop": after_stop,
        "time_wait_overflows": procfs.time_wait_overflows() - overflows,
    }


def watch_time_wait(load, port):
    """The most sockets in TIME_WAIT on either side of the origin's port, until the load has ended."""
    highest = [0, 0]
    next_look = 0.0
    while True:
        running = load.is_running()
        if not running or time.monotonic() >= next_look:
            highest = list(map(max, highest, procfs.time_wait(port)))
            next_look = time.monotonic() + LOOK_SECONDS
        if not running:
            return highest
        time.sleep(0.1)


def endpoint_stats(port):
    """What millpond counted, all endpoints added up."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=10) as response:
            snapshot = json.load(response)
        endpoints = [endpoint for upstream in snapshot["upstreams"] for endpoint in upstream["endpoints"]]
        return {key: sum(each[key] for each in endpoints) for key in ("opened_total", "reused_total")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"millpond's /stats cannot be read: {error!r}") from error


def conditions(run, options):
    """What has to hold, each with whether it does."""
    most = (SLOW_CLIENTS if run["scenario"] == "slow" else CLIENTS) * run["workers"]
    held = {
        "no errors": run["errors"] == 0,
        f"opened <= {most}": run["opened"] <= most,
        "opened as the origin saw": run["opened"] == run["accepted_by_origin"],
        "0 TIME_WAIT": run["time_wait"] + run["time_wait_at_origin"] == 0,
        "TIME_WAIT counted in full": run["time_wait_overflows"] == 0,
    }
    if run["scenario"] != "slow" and options.requests >= JUDGED_FROM:
        held[f"reuse > {REUSE_PERCENT} %"] = run["reuse_percent"] > REUSE_PERCENT
    return held


def compare_slow(runs):
    """Two workers have to reuse as well as one."""
    slow = {
        run["workers"]: run
        for run in runs
        if run["scenario"] == "slow" and run["status"] == "ok" and run["subject"] == "millpond"
    }
    if {1, 2} <= slow.keys():
        points = abs(slow[1]["reuse_percent"] - slow[2]["reuse_percent"])
        slow[2]["conditions"][f"within {SLOW_POINTS:.0f} points of one worker"] = points <= SLOW_POINTS


def show(runs, options):
    cells, notes = [], []
    for run in runs:
        title = " ".join(
            [run["subject"], run.get("scenario", ""), f"{run['workers']}w" if "workers" in run else ""]
        ).strip()
        if run["status"] != "ok":
            cells.append([title, run["status"].split(":")[0], *[""] * 8])
            notes += [f"{title} {run['status']}"] if ":" in run["status"] else []
            continue
        cells.append(
            [
                title,
                run["requests"],
                run["errors"],
                f"{run['seconds']:.0f}",
                run["opened"],
                run["accepted_by_origin"],
                f"{run['reuse_percent']:.4f}",
                run["time_wait"],
                run["time_wait_at_origin"],
                run["time_wait_after_stop"],
            ]
        )
        for verdict in (True, False):
            texts = [text for text, held in run["conditions"].items() if held == verdict]
            notes += [f"{title}  {'pass' if verdict else 'FAIL'}: {', '.join(texts)}"] if texts else []
    if options.requests < JUDGED_FROM:
        notes.append(f"reuse > {REUSE_PERCENT} % is judged from {JUDGED_FROM} requests on")
    print(report.machine_line() + "\n")
    head = [
        "run",
        "requests",
        "errors",
        "s",
        "opened",
        "origin saw",
        "reuse %",
        "TIME_WAIT",
        "at origin",
        "after stop",
    ]
    print(report.table(head, cells))
    print("\n" + "\n".join(notes))


if __name__ == "__main__":
    main()
