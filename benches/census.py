#!/usr/bin/env python3
"""What the census costs on a host with very many sockets, in CPU time and in latency.

Everything happens in a network namespace of its own, in which there are as many sockets as are asked for:
first other programs', then millpond's own clients. Counted is what millpond's census thread says of its own
CPU time, the kernel's included, the CPU time of the whole process, and the latencies of a keep-alive load.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from lab import command, procfs, report, subjects, tools
from lab.processes import Failed, Process
from nat import sandbox

# Of one look at all connections.
CENSUS_MS_MAX = 150.0
# Of all looks: of the process's CPU time under load alone, and of one core beside all the sockets.
SHARE_MAX = 0.01
# A median that is higher by less than this is no difference, however alike the rounds were.
NOISE = 0.10
DEFAULT, RARELY = "2s", "60s"
# So many censuses are looked at; the more sockets, the further they are apart.
CENSUSES = 5
READY_SECONDS = 120
CENSUS_SECONDS = 60
# Where other programs' connections lead to, on addresses of their own, and how many of those there may be.
PAIRS_PORT = 700
ENDPOINTS = 8
# Descriptors that each process needs beside its sockets.
SPARE = 200


def main():
    options = command.parser(__doc__, ["millpond"])
    options.add_argument(
        "--sockets", type=command.positive, default=100_000, help="on the host (default 100000)"
    )
    options.add_argument(
        "--rounds", type=command.positive, default=4, help="of each census interval (default 4)"
    )
    options.add_argument(
        "--seconds", type=command.positive, default=10, help="of load in a round (default 10)"
    )
    options.add_argument("--clients", type=command.positive, default=64, help="of the load (default 64)")
    command.run(measure, options.parse_args())


def measure(options, directory):
    raise_limit(options.sockets + SPARE)
    sandbox.enter()
    prepare_network()
    with tools.Origin(directory) as origin:
        with hold("pairs", options.sockets // 2, 2, directory, PAIRS_PORT):
            foreign = foreign_censuses(directory, origin)
            crowded, rounds = under_load(options, directory, origin, [DEFAULT, RARELY])
        alone, _ = under_load(options, directory, origin, [DEFAULT])
        own = own_censuses(options.sockets // 2, directory, origin)
    result = {
        "census": [foreign, own],
        "share": {"alone": share(alone), "crowded": share(crowded)},
        "latency": latency(rounds),
    }
    conditions = judge(result)
    if options.json:
        report.show_json({**result, "conditions": conditions})
    else:
        show(options, result, conditions)
    return all(conditions.values())


def raise_limit(descriptors):
    """What one process may have. Without the right to more, the sockets are spread over several."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < descriptors:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        except (ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def prepare_network():
    subprocess.run([sandbox.program("ip"), "link", "set", "lo", "up"], check=True)
    for name, value in [("ipv4/ip_local_port_range", "1024 65535"), ("core/somaxconn", "4096")]:
        Path("/proc/sys/net", name).write_text(value, encoding="ascii")


def hold(kind, count, each, directory, port):
    """So many connections to this port, of which each takes `each` descriptors here, from processes that
    may have so many, on addresses of their own."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min((hard - SPARE) // each, 25_000)
    program = Path(__file__).parent / "lab" / "pairs.py"
    with ExitStack() as stack:
        for number in range(-(-count // most)):
            words = [sys.executable, program, kind, min(most, count - number * most), address(number), port]
            process = stack.enter_context(Process(f"{kind}{number}", words, directory))
            process.read_json(READY_SECONDS)
        return stack.pop_all()


def address(number):
    return f"127.0.1.{number + 1}"


def foreign_censuses(directory, origin):
    """What single censuses cost beside sockets that have nothing to do with millpond."""
    with subjects.Subject("millpond", directory, origin.port) as subject:
        return {"whose": "other programs'", **next_censuses(subject)}


def own_censuses(count, directory, origin):
    """What they cost with so many sockets that are to be counted: as many idle clients as this process may
    have, and for the rest connections to an endpoint, which are counted by their addresses, whoever's they
    are."""
    endpoints = ", ".join(f'"{address(number)}:{PAIRS_PORT}"' for number in range(ENDPOINTS))
    more = f'[[upstream]]\nname = "others"\nendpoints = [{endpoints}]'
    with ExitStack() as stack:
        subject = stack.enter_context(subjects.Subject("millpond", directory, origin.port, more=more))
        clients = min(count, stats(subject)["process"]["fds"]["limit"] * 9 // 10)
        stack.enter_context(hold("clients", clients, 1, directory, subject.port))
        if count > clients:
            stack.enter_context(hold("pairs", count - clients, 2, directory, PAIRS_PORT))
        row = next_censuses(subject)
        told = stats(subject)
    endpoints = told["upstreams"][1]["endpoints"]
    counted = told["listeners"][0]["tcp_states"]["established"]
    counted += sum(endpoint["tcp_states"]["established"] for endpoint in endpoints)
    if counted != count:
        raise Failed(f"of {count} connections the census counted {counted}")
    return {"whose": f"its own, {clients} of clients", **row}


def next_censuses(subject):
    """CPU time of the next ones, sockets of the host, and sockets that the kernel listed."""
    # One may have begun before everything was there.
    costs, before = [], metric(subject, "taken_total") + 1
    deadline = time.monotonic() + CENSUSES * CENSUS_SECONDS
    while len(costs) < CENSUSES:
        if time.monotonic() > deadline:
            raise Failed("millpond does not take its censuses")
        taken = metric(subject, "taken_total")
        if taken > before:
            census = stats(subject)["census"]
            costs.append(census["cpu_s"] * 1000)
            before = taken
        time.sleep(0.1)
    listed = stats(subject)["census"]["sockets"]
    return {"cpu_ms": costs, "on_host": sum(procfs.tcp_states().values()), "listed": listed}


def under_load(options, directory, origin, intervals):
    """Alternates the intervals. Returns the CPU times at the default one, and the p99 of every round."""
    busy, rounds = [], {interval: [] for interval in intervals}
    for number in range(options.rounds):
        for interval in intervals if number % 2 == 0 else intervals[::-1]:
            times, result = loaded(options, directory, origin, interval)
            rounds[interval].append(result["p99_us"])
            if interval == DEFAULT:
                busy.append(times)
    return busy, rounds


def loaded(options, directory, origin, interval):
    """CPU seconds of the census and of the process, and those that passed; and what the load saw."""
    clients = ["--clients", options.clients]
    with subjects.Subject("millpond", directory, origin.port, census=interval) as subject:
        tools.load(directory, subject.port, [*clients, "--requests", 5000], 60)
        began, before = time.monotonic(), used(subject)
        load = [*clients, "--requests", 10**9]
        with tools.Load(directory, subject.port, load, options.seconds) as running:
            result = running.result()
        passed, after = time.monotonic() - began, used(subject)
    if result["errors"]:
        raise Failed(f"{result['errors']} requests failed: {result['error_kinds']}")
    return [now - then for now, then in zip(after, before)] + [passed], result


def used(subject):
    """CPU seconds of the census, and of the whole process."""
    return metric(subject, "cpu_seconds_total"), procfs.exact_cpu_seconds(subject.pids())


def stats(subject):
    return json.loads(ask(subject, "/stats"))


def metric(subject, name):
    name = f"millpond_census_{name} "
    for line in ask(subject, "/metrics").splitlines():
        if line.startswith(name):
            return float(line.removeprefix(name))
    raise Failed(f"/metrics has no {name}")


def ask(subject, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{subject.admin}{path}", timeout=20) as answer:
        return answer.read().decode()


def share(busy):
    census, process, wall = (sum(times) for times in zip(*busy))
    return {
        "census_cpu_s": census,
        "process_cpu_s": process,
        "wall_s": wall,
        "of_process": census / process,
        "of_wall": census / wall,
    }


def latency(rounds):
    default, rarely = (statistics.median(rounds[interval]) for interval in (DEFAULT, RARELY))
    spread = max(rounds[RARELY]) - min(rounds[RARELY])
    return {
        "p99_us": rounds,
        "median_default_us": default,
        "median_rarely_us": rarely,
        "noise_us": max(spread, NOISE * rarely),
    }


def judge(result):
    times, part = result["latency"], result["share"]
    worst = {row["whose"]: max(row["cpu_ms"]) for row in result["census"]}
    conditions = {
        f"a census takes less than {CENSUS_MS_MAX:.0f} ms, sockets being {whose}": cost < CENSUS_MS_MAX
        for whose, cost in worst.items()
    }
    of_process, of_core = part["alone"]["of_process"], part["crowded"]["of_wall"]
    conditions["the census takes less than 1 % of the CPU time under load"] = of_process < SHARE_MAX
    conditions["and beside all those sockets less than 1 % of one core"] = of_core < SHARE_MAX
    slower = times["median_default_us"] - times["median_rarely_us"]
    conditions["p99 with it is within the noise of p99 without it"] = slower <= times["noise_us"]
    return conditions


def show(options, result, conditions):
    print(report.machine_line() + "\n")
    head = ["sockets", "on the host", "listed", "CPU ms of a census", "lowest .. highest"]
    rows = []
    for row in result["census"]:
        costs = row["cpu_ms"]
        span = f"{min(costs):.1f} .. {max(costs):.1f}"
        rows.append([row["whose"], row["on_host"], row["listed"], f"{statistics.median(costs):.1f}", span])
    print(report.table(head, rows))
    print(f"\nthe census under load, every {DEFAULT}")
    for name, part in result["share"].items():
        print(
            f"  {name:8} {part['census_cpu_s']:.3f} s of {part['process_cpu_s']:.2f} s CPU time "
            f"({part['of_process']:.2%}), in {part['wall_s']:.1f} s ({part['of_wall']:.2%} of one core)"
        )
    print()
    rows = []
    for interval, name in [(DEFAULT, f"every {DEFAULT}"), (RARELY, f"every {RARELY}")]:
        taken = result["latency"]["p99_us"][interval]
        rows.append([name, f"{statistics.median(taken):.0f}", f"{min(taken):.0f} .. {max(taken):.0f}"])
    head = [f"p99 of {options.clients} clients, crowded", "median us", "lowest .. highest"]
    print(report.table(head, rows))
    print()
    print(report.verdicts(conditions))


if __name__ == "__main__":
    main()
