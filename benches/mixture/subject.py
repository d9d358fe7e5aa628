"""millpond in a soak: its configuration, which changes all the time, and what can be read of it."""

import json
import os
import urllib.request
from collections import Counter

from lab import build, procfs
from lab.processes import Process, free_port

# On a busy machine a slow client is slower than it is meant to be.
PATIENT = 'timeout.header = "120s"\ntimeout.body = "120s"'
BALANCES = ["least_conn", "round_robin", "p2c", "hash"]


class Ports:
    """Where millpond listens."""

    def __init__(self):
        self.web, self.bulk, self.tcp, self.faulty, self.admin = (free_port() for _ in range(5))

    def of_listeners(self):
        return [self.web, self.bulk, self.tcp, self.faulty]


class Millpond(Process):
    """The subject. `behind` has the ports of the backends by the names of the upstreams."""

    def __init__(self, directory, behind):
        self.ports, self.behind, self._path = Ports(), behind, f"{directory}/soak.toml"
        self.write(0)
        run = [build.binary("millpond"), "run", "-c", self._path]
        super().__init__("millpond", run, directory, port=self.ports.web)
        self.pid = self.pids()[0]

    def write(self, round_):
        """The configuration of a round. Round 0 is that of the start and of the end; none takes away an
        endpoint that a client needs."""
        ports, endpoints = self.ports, self.behind["web"]
        some = endpoints if round_ % 3 == 0 else endpoints[: 1 + round_ % 2]
        lines = [
            '[runtime]\nworkers = 2\nshutdown_timeout = "10s"',
            f'[admin]\nlisten = "127.0.0.1:{ports.admin}"\n[log]\nlevel = "warn"',
            _listener("web", ports.web, f'timeout.idle = "{60 + round_ % 4}s"\n{PATIENT}'),
            _listener("bulk", ports.bulk, f"limit.headers = {100 + round_ % 2}"),
            _listener("tcp", ports.tcp, 'protocol = "tcp"\ntimeout.idle = "60s"'),
            _listener("faulty", ports.faulty, "limit.connections_per_client = 1000"),
            _upstream("web", some, f'balance = "{BALANCES[round_ % 4]}"\npool.max_age = "{5 + round_ % 3}s"'),
            _upstream("bulk", self.behind["bulk"], f"pool.max_requests = {1000 * (round_ % 2)}"),
            _upstream("tcp", self.behind["tcp"], ""),
            _upstream("faulty", self.behind["faulty"], f'timeout.response_header = "1s"\npool.min_idle = {2 * (round_ % 2)}'),
        ]
        with open(self._path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def statistics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.admin}/stats", timeout=30) as answer:
            return json.loads(answer.read())

    def resident_bytes(self):
        return procfs.resident_bytes([self.pid])

    def descriptors(self):
        """How many there are of each kind: sockets, pipes, and what the kernel has no name for."""
        kinds = Counter()
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                kinds[os.readlink(f"/proc/{self.pid}/fd/{name}").split(":")[0]] += 1
            except FileNotFoundError:
                # It was closed in the meantime.
                pass
        return dict(kinds)

    def sockets(self):
        """Sockets with clients and with endpoints by their state. Those in TIME_WAIT belong to nobody, and are
        as many as the clients make."""
        states = Counter()
        for port in self.ports.of_listeners():
            states += procfs.tcp_states(local_port=port)
        for port in (port for ports in self.behind.values() for port in ports):
            states += procfs.tcp_states(remote_port=port)
        del states["TIME_WAIT"]
        return dict(states)

    def in_use(self):
        """What is going on by its own count, by what it is; nothing of it is left when all clients are gone."""
        statistics, found = self.statistics(), Counter()
        for listener in statistics["listeners"]:
            found["sessions"] += listener["sessions"]["current"]
            found["draining listeners"] += listener["draining"]
        for endpoint in (e for upstream in statistics["upstreams"] for e in upstream["endpoints"]):
            found.update({f"{name} connections": n for name, n in endpoint["connections"].items()})
            found["draining endpoints"] += endpoint["admin"] == "draining"
        found["CLOSE_WAIT"] += statistics["close_wait"]["count"] or 0
        return {name: count for name, count in found.items() if count}

    def faults(self):
        """What it counts as faults of its own."""
        statistics = self.statistics()
        closes = [listener["closes"] for listener in statistics["listeners"]]
        return {
            "sockets reaped": statistics["close_wait"]["reaped_total"],
            "worker restarts": sum(worker["restarts_total"] for worker in statistics["workers"]),
            "sessions lost": sum(reasons.get("panicked", 0) for reasons in closes),
        }

    def errors(self):
        """Lines of its log that no soak should make."""
        lines = self.said().splitlines()
        return [line for line in lines if " ERROR " in line or "panick" in line]


def _listener(name, port, more):
    return f'[[listener]]\nname = "{name}"\nbind = "127.0.0.1:{port}"\nupstream = "{name}"\n{more}'


def _upstream(name, ports, more):
    endpoints = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    return f'[[upstream]]\nname = "{name}"\nendpoints = [{endpoints}]\n{more}'
