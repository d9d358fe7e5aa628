#!/usr/bin/env python3
"""A hundred reloads in a minute under load, with nothing lost.

Endpoints come and go, timeouts and balance change, a second listener is added and removed, and workers come
and go; every fifth configuration is wrong and must change nothing. Meanwhile run, all through the listener
that is kept: clients that keep their connections, clients that connect for each request, and long streams both
ways, each byte of which is checked. Before that, the same for a while without a reload, to compare with.

Fails if a request or a stream does, if a reload is not answered as it should be, if the 99th percentile of the
keep-alive clients' latency is more than 1.5 of what it was without reloads, or if memory and descriptors
have not come back in the end.
"""

import json
import socket
import time
import urllib.error
import urllib.request

from lab import build, command, procfs, report, tools
from lab.processes import Failed, Process, free_port

ENDPOINTS = 3
CLIENTS = 16
RECONNECTING = 4
STREAMS = 100
EVERY_WRONG = 5
P99_RATIO = 1.5
MEMORY_MIB = 16
DESCRIPTORS = 16
BALANCES = ["least_conn", "round_robin", "p2c", "random"]
# Streams move so much a second each way, all together. A receiver whose buffer was full lets its sender go on
# when a sixteenth of it is free (tcp_select_window in net/ipv4/tcp_output.c), which of 32 MiB is 2 MiB: at a
# slower pace that would take longer than the 30 s after which the tool takes a stream for dead.
STREAM_MIB_S = 32


def main():
    options = command.parser(__doc__, ["millpond"])
    options.add_argument("--reloads", type=command.positive, default=100, help="(default 100)")
    options.add_argument("--seconds", type=command.positive, default=60, help="for them (default 60)")
    options.add_argument("--before", type=command.positive, default=20, help="without any (default 20)")
    command.run(measure, options.parse_args())


class Millpond(Process):
    """The subject, whose configuration changes."""

    def __init__(self, directory, origins, backend):
        self.port, self.stream_port, self.extra_port, self.admin = (free_port() for _ in range(4))
        self._origins, self._backend, self._path = origins, backend, f"{directory}/reload.toml"
        self.write(0)
        run = [build.binary("millpond"), "run", "-c", self._path]
        super().__init__("millpond", run, directory, port=self.port)

    def write(self, round_):
        """The configuration of a round; 0 is that of the start, and of the end."""
        some = [self._origins[(round_ + place) % len(self._origins)] for place in range(1 + round_ % 3)]
        endpoints = ", ".join(f'"127.0.0.1:{port}"' for port in (some if round_ else self._origins))
        lines = [
            # Streams of a worker that goes are to be served to their end.
            f'[runtime]\nworkers = {2 if round_ % 20 < 10 else 1}\nshutdown_timeout = "600s"',
            f'[admin]\nlisten = "127.0.0.1:{self.admin}"\n[log]\nlevel = "error"',
            f'[[listener]]\nname = "web"\nbind = "127.0.0.1:{self.port}"\nupstream = "web"',
            f'timeout.idle = "{600 + round_}s"',
            f'[[listener]]\nname = "stream"\nbind = "127.0.0.1:{self.stream_port}"\nprotocol = "tcp"',
            'upstream = "stream"\ntimeout.idle = "600s"',
            f'[[upstream]]\nname = "web"\nendpoints = [{endpoints}]\nbalance = "{BALANCES[round_ % 4]}"',
            f'timeout.response_header = "{30 + round_ % 7}s"',
            f'[[upstream]]\nname = "stream"\nendpoints = ["127.0.0.1:{self._backend}"]',
        ]
        if round_ % 2:
            lines.append(
                f'[[listener]]\nname = "extra"\nbind = "127.0.0.1:{self.extra_port}"\nupstream = "web"'
            )
        if is_wrong(round_):
            lines.append('[[listener]]\nname = "broken"\nbind = "127.0.0.1:0"\nupstream = "nobody"')
        with open(self._path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def reload(self):
        """The status of the answer, the answer, and how long it took."""
        started = time.monotonic()
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/reload", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            status, body = answer.code, answer.read()
        return status, json.loads(body), time.monotonic() - started

    def statistics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/stats", timeout=10) as answer:
            return json.loads(answer.read())

    def settled(self):
        """Memory and descriptors, once nothing of the load or of a reload is left."""
        deadline = time.monotonic() + 60
        while True:
            statistics = self.statistics()
            sessions = sum(listener["sessions"]["current"] for listener in statistics["listeners"])
            leaving = any(listener["draining"] for listener in statistics["listeners"])
            endpoints = [e for upstream in statistics["upstreams"] for e in upstream["endpoints"]]
            leaving = leaving or any(endpoint["admin"] == "draining" for endpoint in endpoints)
            idle = sum(endpoint["connections"]["idle"] for endpoint in endpoints)
            if not sessions and not leaving and not idle:
                process = statistics["process"]
                return process["memory_bytes"], process["fds"]["used"]
            if time.monotonic() > deadline:
                raise Failed(f"{sessions} sessions, {idle} idle connections are left, leaving: {leaving}")
            time.sleep(0.5)


def is_wrong(round_):
    return round_ > 0 and round_ % EVERY_WRONG == 0


def measure(options, directory):
    duration = options.before + options.seconds + 5
    origins = [tools.Origin(f"{directory}") for _ in range(ENDPOINTS)]
    try:
        with tools.StreamBackend(directory, "tcp", pace()) as backend:
            ports = [origin.port for origin in origins]
            with Millpond(directory, ports, backend.port) as millpond:
                result = take(options, directory, millpond, duration)
    finally:
        for origin in origins:
            origin.stop()
    result["conditions"] = conditions(result, options)
    report.show_json(result) if options.json else show(result)
    return all(result["conditions"].values())


def pace():
    # 16 KiB a read: so many reads a second for each stream.
    reads = STREAM_MIB_S * 2**20 / STREAMS / (16 * 1024)
    return ["--pause-ms", round(1000 / reads)]


def take(options, directory, millpond, duration):
    warm_up(directory, millpond)
    before = {"memory_bytes": 0, "descriptors": 0}
    before["memory_bytes"], before["descriptors"] = millpond.settled()
    size = STREAM_MIB_S * 2**20 * duration
    # Neither side ends early: after a FIN, timeout.half_close would end a stream that is held up by the load.
    sessions = ["--sessions", STREAMS, "--up", size, "--down", size, "--fin-last", *pace()]
    target = ["--target", f"127.0.0.1:{millpond.stream_port}", "--protocol", "tcp"]
    with Process("stream", [build.binary("stream"), *target, *sessions], directory) as streams:
        quiet = load(directory, millpond, options.before, lambda: time.sleep(options.before))
        reloads = []
        busy = load(directory, millpond, options.seconds, lambda: reload_all(options, millpond, reloads))
        stream = streams.read_json(10 * duration)
    millpond.write(0)
    reloads.append((0, *millpond.reload()))
    memory, descriptors = millpond.settled()
    after = {"memory_bytes": memory, "descriptors": descriptors}
    return {"quiet": quiet, "busy": busy, "reloads": reloads, "stream": stream, "before": before, "after": after}


def warm_up(directory, millpond):
    """Has every endpoint used once, and as many streams, so that what is made once (buffers, pipes) is there
    before the first figure."""
    size = STREAMS * 2**20 // 2
    few = ["--sessions", STREAMS, "--up", size, "--down", size, "--wide"]
    tools.stream(directory, millpond.stream_port, "tcp", few, 60)
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", millpond.port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: bench.local\r\nConnection: close\r\n\r\n")
            while client.recv(65536):
                pass


def load(directory, millpond, seconds, meanwhile):
    """Both kinds of clients for so long; fails if they do not even end."""
    many = ["--requests", 1_000_000_000]
    keeping = ["--clients", CLIENTS, *many]
    reconnecting = ["--clients", RECONNECTING, "--reconnect", "--close", "reset", *many]
    with (
        tools.Load(directory, millpond.port, keeping, seconds) as one,
        tools.Load(directory, millpond.port, reconnecting, seconds) as other,
    ):
        meanwhile()
        return {"keep_alive": one.result(), "reconnect": other.result()}


def reload_all(options, millpond, reloads):
    started = time.monotonic()
    for round_ in range(1, options.reloads + 1):
        millpond.write(round_)
        reloads.append((round_, *millpond.reload()))
        next_one = started + round_ * options.seconds / (options.reloads + 1)
        time.sleep(max(0, next_one - time.monotonic()))


def conditions(result, options):
    loads = [result[phase][kind] for phase in ("quiet", "busy") for kind in ("keep_alive", "reconnect")]
    expected = [422 if is_wrong(round_) else 200 for round_, *_ in result["reloads"]]
    before, after, stream = result["before"], result["after"], result["stream"]
    return {
        "no request failed": all(one["errors"] == 0 and one["requests"] > 0 for one in loads),
        "every stream is whole": stream["failed"] == 0 and stream["wrong_bytes"] == 0,
        "every reload is answered": len(expected) == options.reloads + 1
        and [status for _, status, *_ in result["reloads"]] == expected
        and not any(answer.get("notes") for _, _, answer, _ in result["reloads"]),
        f"p99 within {P99_RATIO}": p99(result, "busy") <= P99_RATIO * p99(result, "quiet"),
        f"memory within {MEMORY_MIB} MiB": after["memory_bytes"] <= before["memory_bytes"] + MEMORY_MIB * 2**20,
        f"descriptors within {DESCRIPTORS}": after["descriptors"] <= before["descriptors"] + DESCRIPTORS,
    }


def p99(result, phase):
    return result[phase]["keep_alive"]["p99_us"]


def show(result):
    print(report.machine_line())
    rows = []
    for phase, title in (("quiet", "without reloads"), ("busy", "with reloads")):
        for kind in ("keep_alive", "reconnect"):
            rows.append((f"{title}, {kind.replace('_', '-')}", result[phase][kind]))
    print(report.loads(rows))
    stream, times = result["stream"], sorted(seconds for *_, seconds in result["reloads"])
    before, after = result["before"], result["after"]
    mib = 2**20
    print(
        f"\n{len(times)} reloads, in {times[len(times) // 2] * 1000:.1f} ms by the median, "
        f"{times[-1] * 1000:.1f} ms at most\n"
        f"{STREAMS} streams: {stream['bytes_up'] / mib:.0f} MiB up, {stream['bytes_down'] / mib:.0f} MiB down, "
        f"{stream['failed']} failed, {stream['wrong_bytes']} wrong bytes, "
        f"{stream['seconds']:.0f} s, first error: {stream['first_error']}\n"
        f"memory {before['memory_bytes'] / mib:.1f} -> {after['memory_bytes'] / mib:.1f} MiB, "
        f"descriptors {before['descriptors']} -> {after['descriptors']}\n"
    )
    print(report.verdicts(result["conditions"]))


if __name__ == "__main__":
    main()
