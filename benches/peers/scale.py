"""Scenario m: what a request costs with many endpoints, listeners and pooled connections; it is to stay what
it is with few."""

import json
import urllib.request

from lab import tools, turns
from lab.processes import Failed

from .lifecycle import addresses
from .scenario import Scenario, staged
from .verdict import OWN, Bar, Case
from .web import MANY, load

ENDPOINTS = (1, 100, 10_000)
LISTENERS = (1, 200)
# A process may have 20,000 descriptors on many hosts, and two are needed for each connection that is there at
# the same time as the client that it was opened for.
POOLED = (0, 1_000, 9_000)
# How long the first answer of a connection takes, so that many requests are under way at once.
HELD_MS = 3000
NAMES = (OWN, "nginx", "haproxy")
SECONDS = 2.0
# So that every endpoint has been asked before anything is counted.
WARM_UP_SECONDS = 2.5
FLAT = 1.10


def take(name, settings, directory):
    """The cost with the smallest and larger numbers, and how much higher the highest is."""
    largest = settings.number(ENDPOINTS[-1], least=100)
    sizes = sorted({min(count, largest) for count in ENDPOINTS})
    # Not before the memory of the sizes before is gone: each is a subject of its own.
    by_kind = {
        "endpoints": {count: cost(name, settings, directory, endpoints=addresses(count)) for count in sizes},
        "listeners": {count: cost(name, settings, directory, listeners=count) for count in LISTENERS},
    }
    if name == OWN:
        counts = sorted({settings.number(count, least=0) for count in POOLED})
        by_kind["pooled"] = {count: cost(name, settings, directory, pooled=count) for count in counts}
    growth = {f"m {kind}": max(costs.values()) / costs[min(costs)] for kind, costs in by_kind.items()}
    return {**growth, "us": by_kind}


def cost(name, settings, directory, pooled=0, **subject):
    """The CPU time of a request from 64 keep-alive clients, in microseconds."""
    words = ["--clients", 64, "--requests", MANY]
    behind = ["--all-loopback", "--delay-first-ms", HELD_MS if pooled else 0]
    with staged(name, settings, directory, origin=behind, **subject) as (origin, subject):
        if pooled:
            fill_pool(subject, directory, pooled)
        load(subject, directory, words, settings.seconds(WARM_UP_SECONDS), settings)
        meter = turns.Meter(subject, [origin])
        result = load(subject, directory, words, settings.seconds(SECONDS), settings)
        used, _ = meter.stop()
        return used / result["requests"] * 1e6


def fill_pool(subject, directory, count):
    """Lets so many clients ask at once, and go; what was opened for them stays in the pool."""
    words = ["--clients", count, "--requests", count, "--close", "reset", "--timeout-ms", 20_000]
    tools.load(directory, subject.port, words, 60)
    idle = _pooled(subject)
    if not 0.95 * count <= idle <= count:
        raise Failed(f"{subject.name} has {idle} pooled connections where {count} were wanted")


def _pooled(subject):
    """Idle connections to the origin, by millpond's own count."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{subject.admin}/stats", timeout=10) as answer:
            upstreams = json.load(answer)["upstreams"]
        return sum(each["connections"]["idle"] for upstream in upstreams for each in upstream["endpoints"])
    except (OSError, ValueError, KeyError) as error:
        raise Failed(f"millpond's /stats cannot be read: {error!r}") from error


def _case(kind, what):
    return Case(f"m {kind}", what, "times", (Bar(FLAT, absolute=True),))


SCENARIOS = [
    Scenario(
        "m",
        "cost against numbers",
        (
            _case("endpoints", "1 to 10,000 endpoints: CPU a request, highest to that with one"),
            _case("listeners", "1 to 200 listeners: the same"),
            _case("pooled", "0 to 9,000 idle pooled connections: the same"),
        ),
        NAMES,
        take,
    )
]
