#!/usr/bin/env python3
"""Twenty upgrades under load, with nothing lost and the pools handed over.

Clients that keep their connections and clients that connect for each request send one request after the other
all the while. Each upgrade is asked for, and then the new process is watched until it has served some thousand
requests: how many connections to the origin has it opened by then, beside those that it was given?

Fails if a request does, if an upgrade does, or if the new processes have opened more than a twentieth of what was
in the pools.
"""

import json
import os
import signal
import time
import urllib.error
import urllib.request

from lab import build, command, report, tools
from lab.processes import Failed, Process, free_port

CLIENTS = 64
RECONNECTING = 4
# Of what was in the pools before.
OPENED_MAX = 0.05
# A new process is watched for so many requests.
REQUESTS = 10_000


def main():
    options = command.parser(__doc__, ["millpond"])
    options.add_argument("--upgrades", type=command.positive, default=20, help="(default 20)")
    options.add_argument("--seconds", type=command.positive, default=90, help="for all of it, at most (default 90)")
    command.run(measure, options.parse_args())


class Millpond(Process):
    """The subject, in whose place another process is put again and again."""

    def __init__(self, directory, origin):
        self.port, self.admin = free_port(), free_port()
        path = f"{directory}/upgrade.toml"
        lines = [
            '[runtime]\nworkers = 2',
            f'[admin]\nlisten = "127.0.0.1:{self.admin}"\n[log]\nlevel = "error"',
            f'[[listener]]\nname = "web"\nbind = "127.0.0.1:{self.port}"\nupstream = "web"',
            f'[[upstream]]\nname = "web"\nendpoints = ["127.0.0.1:{origin}"]\npool.idle_timeout = "60s"',
        ]
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self._last = None
        super().__init__("millpond", [build.binary("millpond"), "run", "-c", path], directory, port=self.port)

    def stop(self):
        if self._last is not None:
            # No child of this program: its parent was the process before it.
            os.kill(self._last, signal.SIGTERM)
            self._last = None
        super().stop()

    def upgrade(self):
        """The answer, and how long it took."""
        started = time.monotonic()
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/upgrade", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = json.loads(answer.read())
        except urllib.error.HTTPError as answer:
            raise Failed(f"an upgrade failed: {answer.read().decode()}") from answer
        self._last = body["new"]["pid"]
        return body, time.monotonic() - started

    def statistics(self, pid=None):
        """Of the process with this id, once it is the one that answers."""
        deadline = time.monotonic() + 10
        while True:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/stats", timeout=10) as answer:
                statistics = json.loads(answer.read())
            if pid in (None, statistics["process"]["pid"]):
                return statistics
            if time.monotonic() > deadline:
                raise Failed(f"process {statistics['process']['pid']} answers, not {pid}")


def measure(options, directory):
    with tools.Origin(directory) as origin, Millpond(directory, origin.port) as millpond:
        many = ["--requests", 1_000_000_000]
        keeping = ["--clients", CLIENTS, *many]
        reconnecting = ["--clients", RECONNECTING, "--reconnect", "--close", "reset", *many]
        with (
            tools.Load(directory, millpond.port, keeping, options.seconds) as one,
            tools.Load(directory, millpond.port, reconnecting, options.seconds) as other,
        ):
            time.sleep(1)
            started = time.monotonic()
            upgrades = [once(millpond) for _ in range(options.upgrades)]
            seconds = time.monotonic() - started
            loads = {"keep_alive": one.result(), "reconnect": other.result()}
    result = {"upgrades": upgrades, "seconds": seconds, "loads": loads}
    result["conditions"] = conditions(result, options)
    report.show_json(result) if options.json else show(result)
    return all(result["conditions"].values())


def once(millpond):
    connections = endpoint(millpond.statistics())["connections"]
    pool = connections["idle"] + connections["leased"]
    answer, seconds = millpond.upgrade()
    pid = answer["new"]["pid"]
    while True:
        statistics = millpond.statistics(pid)
        requests = statistics["listeners"][0]["requests_total"]
        if requests >= REQUESTS:
            break
        time.sleep(0.02)
    given = statistics["process"]["predecessor"]["connections"]
    opened = endpoint(statistics)["opened_total"]
    return {"pool": pool, "given": given, "opened": opened, "requests": requests, "seconds": seconds}


def endpoint(statistics):
    return statistics["upstreams"][0]["endpoints"][0]


def conditions(result, options):
    loads, upgrades = result["loads"].values(), result["upgrades"]
    pools = sum(upgrade["pool"] for upgrade in upgrades)
    opened = sum(upgrade["opened"] for upgrade in upgrades)
    return {
        "no request failed": all(one["errors"] == 0 and one["requests"] > 0 for one in loads),
        "all of it under load": result["seconds"] < options.seconds - 1,
        f"opened at most {OPENED_MAX:.0%} of the pools": opened <= OPENED_MAX * pools,
    }


def show(result):
    print(report.machine_line())
    print(report.loads((kind.replace("_", "-"), one) for kind, one in result["loads"].items()))
    upgrades = result["upgrades"]
    print("\nconnections to the origin: in the pools before, given to the new process, opened by it")
    print("  " + ", ".join(f"{one['pool']}/{one['given']}/{one['opened']}" for one in upgrades))
    pools, opened = (sum(one[key] for one in upgrades) for key in ("pool", "opened"))
    times = sorted(one["seconds"] for one in upgrades)
    print(
        f"{len(upgrades)} upgrades: {opened} opened of {pools} ({opened / pools:.1%}), each within the first "
        f"{REQUESTS} requests; answered in {times[len(times) // 2] * 1000:.0f} ms by the median, "
        f"{times[-1] * 1000:.0f} ms at most, 250 ms of which are waited for the count\n"
    )
    print(report.verdicts(result["conditions"]))


if __name__ == "__main__":
    main()
