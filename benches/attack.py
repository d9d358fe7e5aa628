#!/usr/bin/env python3
"""What somebody else notices while millpond is attacked.

One client asks for 128 bytes again and again, each tenth time on a connection of its own; the time that 99 of
100 of its requests take is measured before each attack and while it lasts: the best of three rounds, because an
attack that harms does so each time. The attackers are as many as --attackers says, and come from another
address, in a process of their own that gets what time the processors have left: others attack from elsewhere.
Beside it stands what the attack took of memory at its peak, and for which reason most attackers were ended or
refused.

Fails if the other client's time is more than twice what it was, half a millisecond counting for anything
less, or if the memory is more than the formula of docs/RELIABILITY.md.
"""

import contextlib
import json
import multiprocessing
import os
import socket
import sys
import time
import urllib.request

from lab import command, procfs, report, subjects, tools
from lab.processes import Failed, free_port

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
# Response bytes for attackers that do not read: more than the sockets on their way take.
BIG = 8 << 20
# Rounds of the other client's requests, of which the best counts.
ROUNDS = 3
# In seconds; what is less says more of the scheduler than of millpond.
NOISE = 0.0005
RATIO = 2
WORKERS = 2
BUFFERS_MIB = 16
# docs/RELIABILITY.md: a client, its connection to an endpoint, and the smallest buffers of both.
CLIENT = 1_100 + 1_500 + (16 << 10)
WORKER = 4 << 20
# Deadlines of the listener that is attacked, in seconds.
DEADLINE = 5
# An attack is over when its attackers are ended, at the latest then.
SECONDS = 8
LIMITS = """
[[listener]]
name = "attacked"
bind = "127.0.0.1:{port}"
upstream = "{upstream}"
timeout = {{ header = "{deadline}s", body = "{deadline}s", linger = "1s" }}
limit.connections_per_client = {per_client}
limit.connection_rate_per_client = {connection_rate}
limit.request_rate_per_client = {request_rate}
limit.exempt_clients = ["127.0.0.2"]
"""
UPSTREAM = '\n[[upstream]]\nname = "big"\nendpoints = ["127.0.0.1:{port}"]\n'
OFF = {"upstream": "origin", "per_client": 0, "connection_rate": '"off"', "request_rate": '"off"'}


def attacked(attack, *arguments, **more):
    """An attack with what time the processors have left. sched(7)"""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    attack(*arguments, **more)


def connect(port, small=False):
    client = socket.socket()
    if small:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.settimeout(5)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    return client


def send(client, data):
    """As much of it as is taken at once; `False`: the connection has ended."""
    try:
        client.send(data)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def hold(port, count, ready, data=b"", small=False, drip=b""):
    """Connections that each send this, and a byte of `drip` now and then."""
    clients = []
    for _ in range(count):
        client = connect(port, small)
        send(client, data)
        clients.append(client)
    ready.set()
    end = time.monotonic() + 2 * SECONDS
    while time.monotonic() < end:
        if drip:
            clients = [client for client in clients if send(client, drip)]
        time.sleep(0.1)


def again(port, count, ready):
    """Connections that are closed at once, one after the other, without end."""
    ready.set()
    while True:
        for _ in range(count):
            with contextlib.suppress(OSError):
                connect(port).close()


def ask(port, count, ready):
    """Requests as fast as they are answered, on this many connections."""
    clients = [connect(port) for _ in range(count)]
    ready.set()
    while True:
        for client in clients:
            send(client, GET * 20)
            with contextlib.suppress(OSError):
                while client.recv(1 << 16):
                    pass


# Its name, what the attackers do, what the listener has beside its defaults.
ATTACKS = [
    ("silent connections", hold, {}, {}),
    ("slow heads", hold, {"data": b"GET / HTTP/1.1\r\nX: ", "drip": b"x"}, {}),
    (
        "slow request bodies",
        hold,
        {"data": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"},
        {},
    ),
    ("header bombs", hold, {"data": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 31000}, {}),
    ("closed windows", hold, {"data": GET, "small": True}, {"upstream": "big"}),
    ("pipelines, unread", hold, {"data": GET * 5000}, {"upstream": "big"}),
    ("one client, many connections", hold, {}, {"per_client": 20}),
    ("flood of connections", again, {}, {"connection_rate": '"100/s"'}),
    ("flood of requests", ask, {}, {"request_rate": '"1000/s"'}),
]


def main():
    options = command.parser(__doc__, ["millpond"])
    options.add_argument("--attackers", type=command.positive, default=2000, help="(default 2000)")
    options.add_argument("--attacks", help="only those with these words in their names, such as slow,flood")
    options.add_argument("--requests", type=command.positive, default=2000, help="of the other client (default 2000)")
    command.run(measure, options.parse_args())


def measure(options, directory):
    rows = []
    with tools.Origin(directory) as origin, tools.Origin(directory, body=BIG) as big:
        for name, attack, arguments, limits in ATTACKS:
            if options.attacks and not any(word in name for word in options.attacks.split(",")):
                continue
            row = {"attack": name, "status": "ok"}
            try:
                row |= take(options, directory, (origin.port, big.port), attack, arguments, limits)
            except (Failed, OSError) as failure:
                row["status"] = f"failed: {failure}"
            rows.append(row)
    conditions = judge(rows, options)
    if options.json:
        report.show_json({"attackers": options.attackers, "rows": rows, "conditions": conditions})
    else:
        show(rows, options)
        print(f"\n{report.verdicts(conditions)}")
    return all(conditions.values())


def judge(rows, options):
    done = [row for row in rows if row["status"] == "ok"]
    most = (BUFFERS_MIB << 20) + options.attackers * CLIENT + WORKERS * WORKER
    slow = [row["attack"] for row in done if row["during"] > RATIO * max(row["before"], NOISE)]
    large = [row["attack"] for row in done if row["memory"] > most]

    def but(names):
        return f" but for {', '.join(names)}" if names else ""

    return {
        f"all {len(rows)} attacks were made": len(done) == len(rows),
        f"p99 of the other client within {RATIO} x{but(slow)}": not slow,
        f"memory within the formula, which is {most / 2**20:.0f} MiB{but(large)}": not large,
    }


def take(options, directory, origins, attack, arguments, limits):
    port = free_port()
    origin, big = origins
    more = UPSTREAM.format(port=big) + LIMITS.format(port=port, deadline=DEADLINE, **(OFF | limits))
    with subjects.Subject(
        "millpond",
        directory,
        origin,
        workers=WORKERS,
        more=more,
        runtime=f'buffer_memory = "{BUFFERS_MIB}MiB"',
    ) as subject:
        # The bystander's listener is the one that is attacked, but with the small answer where that is another.
        target = port if not limits.get("upstream") else subject.port
        p99(target, options.requests)
        before = min(p99(target, options.requests) for _ in range(ROUNDS))
        memory = procfs.peak_resident_bytes(subject.pids())
        ready = multiprocessing.Event()
        attackers = multiprocessing.Process(
            target=attacked, args=(attack, port, options.attackers, ready), kwargs=arguments, daemon=True
        )
        attackers.start()
        try:
            if not ready.wait(60):
                raise Failed("the attackers were not there within a minute")
            during = min(p99(target, options.requests) for _ in range(ROUNDS))
            time.sleep(SECONDS)
            peak = procfs.peak_resident_bytes(subject.pids())
            ends = reasons(subject.admin)
        finally:
            attackers.kill()
            attackers.join()
    return {"before": before, "during": during, "memory": peak - memory, "ends": ends}


def p99(port, requests):
    """In seconds."""
    times, client = [], None
    for number in range(requests):
        began = time.perf_counter()
        if number % 10 == 0:
            if client:
                client.close()
            client = socket.socket()
            client.bind(("127.0.0.2", 0))
            client.settimeout(10)
            client.connect(("127.0.0.1", port))
        client.sendall(GET)
        received = b""
        while not received.endswith(b"x" * 16) and len(received) < 128:
            data = client.recv(4096)
            if not data:
                raise Failed("the bystander's connection has ended")
            received += data
        if b" 200 " not in received[:16]:
            raise Failed(f"the bystander was answered {received[:60]!r}")
        times.append(time.perf_counter() - began)
    client.close()
    times.sort()
    return times[len(times) * 99 // 100]


def reasons(admin):
    """For which reason most sessions have ended, or most requests were refused."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/stats", timeout=10) as answer:
        listeners = json.load(answer)["listeners"]
    [attacked] = [listener for listener in listeners if listener["name"] == "attacked"]
    counts = attacked["rejects"] | {
        reason: count for reason, count in attacked["closes"].items() if reason != "client_fin"
    }
    reason = max(counts, key=counts.get)
    return f"{reason} {counts[reason]:,}" if counts[reason] else "-"


def show(rows, options):
    print(f"millpond under attack by {options.attackers:,} on {report.machine_line()}\n")
    cells = []
    for row in rows:
        if row["status"] != "ok":
            cells.append([row["attack"], "", "", "", "", row["status"]])
            continue
        before, during = 1000 * row["before"], 1000 * row["during"]
        cells.append(
            [
                row["attack"],
                f"{before:.2f} ms",
                f"{during:.2f} ms",
                f"{during / before:.2f}",
                f"{row['memory'] / 2**20:.1f} MiB",
                row["ends"],
            ]
        )
    print(report.table(["attack", "p99 before", "p99 during", "ratio", "memory", "most ended for"], cells))


if __name__ == "__main__":
    sys.exit(main())
