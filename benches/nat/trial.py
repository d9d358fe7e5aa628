"""One subject in one network under one load, watched from outside."""

import asyncio
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field

from .backend import Backend, Manners
from .clients import Clients, Load
from .network import Network
from .subjects import Running, Subject

LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Plan:
    """What is tried."""

    subject: Subject
    load: Load
    ports: int
    nat_ports: int | None = None
    nat_idle: int | None = None
    manners: Manners = Manners()


@dataclass
class Look:
    """What the kernels and the subject say at a time, in seconds since the load began."""

    at: float
    # CPU time of the subject since it was started, in seconds.
    cpu: float
    # The proxy's sockets towards the backend, by state: each holds a local port.
    dialled: Counter
    # Requests that ended so far.
    ended: int

    def taken(self):
        """Ports that are taken."""
        return sum(self.dialled.values())


@dataclass
class Result:
    """What came of it; the last figures are those at the end of the load."""

    plan: Plan
    tally: object = None
    opened: int = 0
    looks: list = field(default_factory=list)
    # The backend's sockets and the NAT's entries, by state.
    at_backend: Counter = field(default_factory=Counter)
    tracked: Counter | None = None
    tracked_count: int = 0
    address_not_available: int = 0
    # millpond's own figures at the end.
    statistics: dict | None = None

    def dialled(self):
        return self.looks[-1].dialled

    def most_taken(self):
        """The most ports that were taken at once."""
        return max(look.taken() for look in self.looks)

    def most_open(self):
        """The most connections that were open at once, those in TIME_WAIT left out."""
        return max(look.taken() - look.dialled["TIME_WAIT"] for look in self.looks)

    def cpu_per_request(self, start, end):
        """CPU seconds for a request that ended in this time; `None` where none did."""
        looks = [look for look in self.looks if start <= look.at <= end]
        if len(looks) < 2 or looks[-1].ended == looks[0].ended:
            return None
        return (looks[-1].cpu - looks[0].cpu) / (looks[-1].ended - looks[0].ended)

    def taken_at(self, when):
        """Ports that were taken at the look before this time."""
        before = [look for look in self.looks if look.at <= when] or self.looks[:1]
        return before[-1].taken()


def run(*plans):
    """Tries them at the same time, each in a network of its own, and returns what came of each. SIGTERM ends
    it in order, as Ctrl-C does."""
    try:
        return asyncio.run(_together(plans))
    except asyncio.CancelledError:
        sys.exit("stopped by SIGTERM")


async def _together(plans):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    return await asyncio.gather(*(_run(plan) for plan in plans))


async def _run(plan):
    result = Result(plan)
    with (
        tempfile.TemporaryDirectory(prefix="millpond-nat-") as directory,
        Network(plan.ports, plan.nat_ports, plan.nat_idle) as net,
    ):
        with Running(plan.subject, net, directory) as subject:
            async with Backend(net, plan.manners) as backend:
                await _load(result, net, subject, backend)
            result.address_not_available = subject.address_not_available()
    return result


async def _load(result, net, subject, backend):
    clients = Clients(net, result.plan.load)
    running = asyncio.create_task(clients.run())
    try:
        while not running.done():
            result.looks.append(_look(net, subject, clients))
            await asyncio.wait([running], timeout=LOOK_SECONDS)
        await running
        result.looks.append(_look(net, subject, clients))
        result.tally = clients.tally
        result.opened = backend.accepted
        result.at_backend = net.at_backend()
        result.tracked, result.tracked_count = net.tracked(), net.tracked_count()
        if subject.subject.program == "millpond":
            result.statistics = subject.statistics()
    finally:
        running.cancel()
        await clients.close()


def _look(net, subject, clients):
    ended = clients.tally.served + clients.tally.failed()
    return Look(clients.elapsed(), subject.cpu_seconds(), net.towards_backend(), ended)
