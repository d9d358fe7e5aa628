"""Scenario m: what a request costs with many endpoints, listeners and pooled connections; it is to stay what
it is with few."""

import json
import time
import urllib.request

from lab import turns
from lab.processes import Failed

from .lifecycle import addresses
from .scenario import Scenario, staged
from .verdict import OWN, Bar, Case
from .web import MANY, load

ENDPOINTS = (1, 100, 10_000)
LISTENERS = (1, 200)
# A process may have 20,000 descriptors on many hosts, and the clients need theirs.
POOLED = (0, 1_000, 10_000)
NAMES = (OWN, "nginx", "haproxy")
SECONDS = 2.0
# So that every endpoint has been asked before anything is counted.
WARM_UP_SECONDS = 2.5
WARM_SECONDS = 30
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
    subject["more"] = f"min_idle = {pooled}" if pooled else ""
    with staged(name, settings, directory, origin=["--all-loopback"], **subject) as (origin, subject):
        if pooled:
            _wait_pooled(subject, pooled)
        load(subject, directory, words, settings.seconds(WARM_UP_SECONDS), settings)
        meter = turns.Meter(subject, [origin])
        result = load(subject, directory, words, settings.seconds(SECONDS), settings)
        used, _ = meter.stop()
        return used / result["requests"] * 1e6


def _wait_pooled(subject, count):
    deadline = time.monotonic() + WARM_SECONDS
    while (idle := _pooled(subject)) < count:
        if time.monotonic() > deadline:
            raise Failed(f"{subject.name} has {idle} of {count} pooled connections after {WARM_SECONDS} s")
        time.sleep(0.1)


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
            _case("pooled", "0 to 10,000 idle pooled connections: the same"),
        ),
        NAMES,
        take,
    )
]
