#!/usr/bin/env python3
"""A mix of everything for as long as is asked for, after which nothing may be left.

Clients that keep their connections and clients that connect for each request, pipelines, uploads, slow readers
and slow writers, clients that leave at any moment, upgrades, TCP sessions with half-closes, and whoever reads the
admin server; backends that do as they should, one that fails in eight ways, and is killed and started again; a
reload every two seconds. First for a short time, so that what is made once is there; then for `--seconds`.

Fails if a client sees what it should not: any error but those of the backend that fails, an answer to somebody
else's request, a wrong byte. And if in the end memory, descriptors by their kind, sockets by their state or any
figure of what is going on in /stats is not what it was. It needs no quiet machine: nothing of this is a time.
"""

import asyncio
import random
import statistics
import time
import traceback
from collections import Counter

from lab import command, report, tools
from lab.processes import Failed
from mixture import clients, wire
from mixture.backend import Backend, echo, faulty, http
from mixture.subject import Millpond

WARM_UP_SECONDS = 15
RELOAD_SECONDS = 2
OUTAGE_SECONDS = 3
SAMPLE_SECONDS = 1
# Beyond an idle timeout of 4 s, a drain of 10 s and the kernel's own patience with orphans, 60 s
# (net.ipv4.tcp_fin_timeout).
SETTLE_SECONDS = 90
# Memory that an allocator keeps after a peak comes and goes; what a leak leaves only comes.
MEMORY_MIB = 16
# A worker keeps up to 8 pipes for long flows, of two descriptors each; which of them are there is chance.
PIPES = 2 * 8 * 2
BULK = ["--requests", 1_000_000_000, "--timeout-ms", 30_000, "--think-ms", 25]
ERRORS_SHOWN = 10


def main():
    options = command.parser(__doc__, ["millpond"])
    options.add_argument("--seconds", type=command.positive, default=60, help="of the mix (default 60)")
    command.run(measure, options.parse_args())


def measure(options, directory):
    result = asyncio.run(Soak(directory, options.seconds).take())
    report.show_json(result) if options.json else show(result)
    return all(result["conditions"].values())


class Soak:
    """One run. `errors` has what clients have seen and should not have."""

    def __init__(self, directory, seconds):
        self.directory, self.seconds = directory, seconds
        self.errors, self.episodes, self.samples = [], Counter(), []
        self.reloads = self.outages = 0

    async def take(self):
        backends = {
            "web": [Backend(http) for _ in range(2)],
            "tcp": [Backend(echo)],
            "faulty": [Backend(faulty)],
        }
        for backend in (one for some in backends.values() for one in some):
            await backend.start()
        self.faulty = backends["faulty"][0]
        with tools.Origin(self.directory) as origin:
            behind = {name: [one.port for one in some] for name, some in backends.items()}
            with Millpond(self.directory, {**behind, "bulk": [origin.port]}) as self.millpond:
                return await self._run()

    async def _run(self):
        await self._mix(WARM_UP_SECONDS)
        before = await self._settled()
        self.episodes.clear()
        self.samples.clear()
        bulk = await self._mix(self.seconds)
        after = await self._settled(before["descriptors"])
        result = {
            "seconds": self.seconds,
            "episodes": {kind.__name__: self.episodes[kind] for kind in clients.MIX},
            "requests": {name: one["requests"] for name, one in bulk.items()},
            "errors": self.errors + [f"{name}: {one['error_kinds']}" for name, one in bulk.items() if one["errors"]],
            "reloads": self.reloads,
            "outages": self.outages,
            "before": before,
            "after": after,
            "trend_bytes": self._trend(),
            "faults": await asyncio.to_thread(self.millpond.faults),
            "log": self.millpond.errors(),
        }
        result["conditions"] = conditions(result)
        return result

    async def _mix(self, seconds):
        """Everything at once for so long; returns what the programs of benches/tools have counted."""
        until = time.monotonic() + seconds
        everybody = [self._again(kind, until) for kind, count in clients.MIX.items() for _ in range(count)]
        beside = [self._reload(until), self._fail(until), self._sample(until)]
        reconnecting = ["--reconnect", "--close", "reset", "--clients", 8, *BULK]
        port = self.millpond.ports.bulk
        with (
            tools.Load(self.directory, port, ["--clients", 32, *BULK], seconds) as keeping,
            tools.Load(self.directory, port, reconnecting, seconds) as coming,
        ):
            await asyncio.gather(*everybody, *beside)
            both = {"bulk, keep-alive": keeping, "bulk, reconnecting": coming}
            return {name: await asyncio.to_thread(one.result) for name, one in both.items()}

    async def _again(self, kind, until):
        while time.monotonic() < until:
            try:
                await kind(self.millpond.ports)
                self.episodes[kind] += 1
            except (OSError, EOFError, ValueError, wire.Wrong) as error:
                at = traceback.extract_tb(error.__traceback__)[-1].lineno
                self.errors.append(f"{kind.__name__}: {type(error).__name__} {error} (line {at})")
                if len(self.errors) > 1000:
                    raise Failed(f"more than 1000 errors, the first: {self.errors[0]}") from error
            await asyncio.sleep(random.random() * 0.05)

    async def _reload(self, until):
        round_ = 0
        while True:
            over = time.monotonic() >= until
            round_ = 0 if over else round_ + 1
            self.millpond.write(round_)
            async with await wire.Connection.to(self.millpond.ports.admin) as admin:
                await admin.send(wire.request("/reload", "POST", "Connection: close\r\n"))
                head, body = await admin.response()
            if head.status != 200:
                self.errors.append(f"reload: {head.status} {body[:200]!r}")
            self.reloads += 1
            if over:
                return
            await asyncio.sleep(min(RELOAD_SECONDS, max(0, until - time.monotonic())))

    async def _fail(self, until):
        """The faulty backend is gone for a moment, again and again."""
        while time.monotonic() + 2 * OUTAGE_SECONDS < until:
            await asyncio.sleep(OUTAGE_SECONDS)
            await self.faulty.stop()
            self.outages += 1
            await asyncio.sleep(OUTAGE_SECONDS / 3)
            await self.faulty.start()

    async def _sample(self, until):
        while time.monotonic() < until:
            self.samples.append(await asyncio.to_thread(self.millpond.resident_bytes))
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _settled(self, wanted=None):
        """What is left when nothing goes on any more, or when it is no use to wait any longer. `wanted`: the
        descriptors before."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            await asyncio.sleep(0.5)
            found = await asyncio.to_thread(self._look)
            is_over = not found["in_use"] and not found["sockets"]
            if is_over and (wanted is None or found["descriptors"].get("socket") == wanted.get("socket")):
                return found
            if time.monotonic() > deadline:
                return found

    def _look(self):
        return {
            "in_use": self.millpond.in_use(),
            "sockets": self.millpond.sockets(),
            "descriptors": self.millpond.descriptors(),
            "memory_bytes": self.millpond.resident_bytes(),
        }

    def _trend(self):
        """By how much memory in the last quarter of the time is above that in the second one."""
        quarter = len(self.samples) // 4
        if not quarter:
            return 0
        return statistics.median(self.samples[-quarter:]) - statistics.median(self.samples[quarter : 2 * quarter])


def conditions(result):
    before, after = result["before"], result["after"]
    one, other = before["descriptors"], after["descriptors"]
    apart_from_pipes = [{kind: n for kind, n in some.items() if kind != "pipe"} for some in (one, other)]
    return {
        "no client saw what it should not": not result["errors"],
        "every kind of client was there": all(result["episodes"].values()) and all(result["requests"].values()),
        "nothing goes on any more": not before["in_use"] and not after["in_use"],
        "no socket is left, in whichever state": not before["sockets"] and not after["sockets"],
        "descriptors of each kind as before": apart_from_pipes[0] == apart_from_pipes[1]
        and abs(other.get("pipe", 0) - one.get("pipe", 0)) <= PIPES,
        f"memory in the end within {MEMORY_MIB} MiB": _grown(before, after) <= MEMORY_MIB * 2**20,
        f"memory meanwhile within {MEMORY_MIB} MiB": result["trend_bytes"] <= MEMORY_MIB * 2**20,
        "no fault of its own": not any(result["faults"].values()) and not result["log"],
    }


def _grown(before, after):
    return after["memory_bytes"] - before["memory_bytes"]


def show(result):
    print(report.machine_line())
    rows = [[name.replace("_", " "), count] for name, count in result["episodes"].items()]
    rows += [[f"{name}, requests", count] for name, count in result["requests"].items()]
    print(report.table(["clients", "times"], rows))
    before, after, mib = result["before"], result["after"], 2**20
    print(
        f"\n{result['seconds']} s, {result['reloads']} reloads, {result['outages']} outages of a backend\n"
        f"memory {before['memory_bytes'] / mib:.1f} -> {after['memory_bytes'] / mib:.1f} MiB, "
        f"last quarter of the time against the second {result['trend_bytes'] / mib:+.1f} MiB\n"
        f"descriptors {before['descriptors']} -> {after['descriptors']}\n"
        f"left: {after['in_use'] or 'nothing'}; sockets: {after['sockets'] or 'none'}\n"
        f"faults of its own: {result['faults']}\n"
    )
    print(f"{len(result['errors'])} errors seen by clients")
    for error, times in Counter(result["errors"]).most_common(ERRORS_SHOWN):
        print(f"  {times} x {error}")
    for line in result["log"][:ERRORS_SHOWN]:
        print(f"  in the log: {line}")
    print(report.verdicts(result["conditions"]))


if __name__ == "__main__":
    main()
