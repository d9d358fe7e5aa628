"""Scenarios of requests: a to e."""

import json

from lab import procfs, subjects, tools, turns
from lab.processes import Failed

from .scenario import Scenario, staged
from .verdict import FLOOR, OWN, Bar, Case

NAMES = (FLOOR, OWN, "nginx", "haproxy", *subjects.PEERS)
SERVERS = ("nginx", "haproxy")
SECONDS = 2.0
WARM_UP_SECONDS = 0.5
GIB = 2**30
MANY = 1_000_000_000

_CPU_BARS = (Bar(0.90, SERVERS), Bar(0.55, ("pingora",)), Bar(0.45, ("envoy",)))


def request_turn(name, settings, directory, options, body=128, unpooled=False):
    """Starts a subject, warms it up, and gives it requests for a while; what a request cost and how many
    there were in a second."""
    with staged(name, settings, directory, body) as (origin, subject):
        load_options = ["--requests", MANY, "--body", body, *options]
        load(subject, directory, load_options, settings.seconds(WARM_UP_SECONDS), settings)
        meter = turns.Meter(subject, [origin])
        result = load(subject, directory, load_options, settings.seconds(SECONDS), settings)
        used, foreign = meter.stop()
        resident = procfs.resident_bytes(subject.pids())
        subject.stop()
        seen = json.loads(origin.stop())
    if not unpooled and name != FLOOR:
        check_pool(name, seen, options[options.index("--clients") + 1])
    return {
        "us": used / result["requests"] * 1e6,
        "per_second": result["requests_per_s"],
        "busy": used / result["seconds"],
        "bytes": resident,
        "accepted": seen["accepted"],
        "requests": seen["requests"],
        "seconds": used,
        "foreign_cores": foreign,
    }


def load(subject, directory, options, seconds, settings):
    return tools.load(directory, subject.port, options, seconds, settings.load_cpu)


def check_pool(name, seen, clients):
    """Fails where connections to the origin were not used again, so that unlike would be compared."""
    allowed = 2 * clients + seen["requests"] // 100
    if seen["accepted"] > allowed:
        raise Failed(
            f"{name} opened {seen['accepted']} connections for {seen['requests']} requests: no keep-alive"
        )


def costs(letter, title, bars, options, names=NAMES, body=128):
    """A scenario of which a request's CPU time and the rate on one core are told."""

    def take(name, settings, directory):
        turn = request_turn(name, settings, directory, options, body)
        rate = f"{letter} rate"
        return {**turn, letter: turn["us"], rate: turn["per_second"], f"{rate} busy": turn["busy"]}

    cases = (
        Case(letter, f"{title}: CPU a request", "µs", bars),
        Case(f"{letter} rate", f"{title}: requests a second", "/s", better="higher", digits=0),
    )
    return Scenario(letter, title, cases, names, take)


def bodies(name, settings, directory):
    """Bodies of 1 MiB, first down and then up."""
    mib = 2**20
    figures = {"foreign_cores": 0.0}
    ways = {"down": (["--clients", 8], mib), "up": (["--clients", 8, "--upload", mib], 128)}
    for way, (options, body) in ways.items():
        turn = request_turn(name, settings, directory, options, body)
        served = turn["seconds"] / (turn["us"] / 1e6)
        figures[f"e {way}"] = turn["seconds"] * 1000 / (served * mib / GIB)
        figures["foreign_cores"] = max(figures["foreign_cores"], turn["foreign_cores"])
    return figures


ONE_CLIENT_A_REQUEST = ["--clients", 64, "--reconnect", "--close", "reset", "--sources", 16]

SCENARIOS = [
    costs(
        "a",
        "64 keep-alive clients, 128 B",
        (Bar(1.15, (FLOOR,)), *_CPU_BARS),
        ["--clients", 64],
    ),
    costs("b", "1,000 keep-alive clients, 128 B", _CPU_BARS, ["--clients", 1000]),
    costs(
        "c",
        "browsers' heads of 1.2 KB, 10 KB down",
        _CPU_BARS,
        ["--clients", 64, "--browser"],
        body=10_000,
    ),
    costs("d", "a connection for each request", (Bar(0.95),), ONE_CLIENT_A_REQUEST),
    Scenario(
        "e",
        "bodies of 1 MiB",
        (
            Case("e down", "1 MiB down: CPU a GiB", "ms", (Bar(0.90),), digits=0),
            Case("e up", "1 MiB up: CPU a GiB", "ms", (Bar(0.90),), digits=0),
        ),
        NAMES,
        bodies,
    ),
]
