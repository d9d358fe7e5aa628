"""Scenarios of clients that are mostly silent, and of latency: i to k."""

import json

from lab import idleness, subjects, tools, turns

from .scenario import Scenario, staged
from .verdict import FLOOR, OWN, Bar, Case
from .web import MANY, WARM_UP_SECONDS, check_pool, load, request_turn

PROXIES = (OWN, "nginx", "haproxy", *subjects.PEERS)
IDLE_CLIENTS = 8000
FIRST_CLIENTS = 500

SLOW_CLIENTS = 8
SLOW_THINK_MS = 50
SLOW_SECONDS = 10.0
SLOW_WORKERS = 2

RATE_SECONDS = 5.0
SETTLE_MS = 500
# Of what the slowest can serve.
RATE_SHARE = 0.5


def idle(name, settings, directory):
    """8,000 clients that have had one answer and are silent."""
    count = settings.number(IDLE_CLIENTS, least=500)
    measured = idleness.take(name, directory, count, settings.number(FIRST_CLIENTS, least=100))
    return {"i": measured["bytes_per_client"], **measured}


def slow(name, settings, directory):
    """8 clients that think between two requests, before two workers."""
    words = ["--clients", SLOW_CLIENTS, "--think-ms", SLOW_THINK_MS, "--requests", MANY]
    with (
        tools.Origin(directory) as origin,
        subjects.Subject(name, directory, origin.port, workers=SLOW_WORKERS) as subject,
    ):
        result = tools.load(directory, subject.port, words, settings.seconds(SLOW_SECONDS))
        subject.stop()
        seen = json.loads(origin.stop())
    # A tenth of a percent is two connections; less is a matter of how many requests there were.
    reuse = round(100 * (1 - seen["accepted"] / seen["requests"]), 1)
    return {"j": reuse, "requests": result["requests"], "opened": seen["accepted"]}


def capacities(names, settings, directory):
    """The rate for `latency`: a share of what the slowest can serve, each alone and for a moment."""
    able = {}
    for name in names:
        turns.progress(f"k: what {name} can serve")
        turn = request_turn(name, settings, directory, ["--clients", 64])
        # Of one whole core: where the load was the limit, the rate itself says less.
        able[name] = 1e6 / turn["us"]
    peers = [able[name] for name in able if name != FLOOR]
    return {"capacities": able, "rate": round(RATE_SHARE * min(peers or able.values()))}


def latency(name, settings, directory):
    """64 clients of which requests are due at a steady rate, whatever became of those before."""
    words = ["--clients", 64, "--requests", MANY]
    paced = ["--clients", 64, "--rate", settings.prepared["rate"], "--settle-ms", SETTLE_MS]
    with staged(name, settings, directory) as (origin, subject):
        load(subject, directory, words, settings.seconds(WARM_UP_SECONDS), settings)
        meter = turns.Meter(subject, [origin])
        seconds = SETTLE_MS / 1000 + settings.seconds(RATE_SECONDS)
        result = load(subject, directory, paced, seconds, settings)
        used, foreign = meter.stop()
        subject.stop()
        seen = json.loads(origin.stop())
    if name != FLOOR:
        check_pool(name, seen, 64)
    shares = {"k p50": "p50_us", "k p99": "p99_us", "k p99.9": "p999_us"}
    return {
        **{key: result[field] for key, field in shares.items()},
        "late_p99_us": result["late_p99_us"],
        "rate": settings.prepared["rate"],
        "busy": used / result["seconds"],
        "foreign_cores": foreign,
    }


SCENARIOS = [
    Scenario(
        "i",
        "idle clients",
        (
            Case(
                "i",
                "8,000 idle keep-alive clients: resident bytes of each",
                "B",
                (Bar(600, absolute=True),),
                digits=0,
            ),
        ),
        PROXIES,
        idle,
        rounds_at_most=1,
    ),
    Scenario(
        "j",
        "8 slow clients over 2 workers",
        (
            Case(
                "j",
                "8 slow clients over 2 workers: connections used again",
                "%",
                (Bar(99, absolute=True), Bar(1.0, above=True)),
                better="higher",
                digits=1,
            ),
        ),
        PROXIES,
        slow,
        rounds_at_most=1,
    ),
    Scenario(
        "k",
        "latency at half of the slowest peer's capacity",
        (
            Case("k p50", "latency at a fixed rate: p50", "µs", digits=0),
            Case("k p99", "latency at a fixed rate: p99", "µs", (Bar(1.0),), digits=0),
            Case("k p99.9", "latency at a fixed rate: p99.9", "µs", (Bar(1.0),), digits=0),
        ),
        (FLOOR, *PROXIES),
        latency,
        prepare=capacities,
    ),
]
