"""Scenarios of TCP: f to h."""

from lab import flows, subjects, turns

from .scenario import Scenario, staged
from .verdict import FLOOR, OWN, Bar, Case
from .web import GIB, MANY, ONE_CLIENT_A_REQUEST, WARM_UP_SECONDS, load

NAMES = (FLOOR, OWN, "nginx-stream", "haproxy", "haproxy-splice", "envoy")
BULK_MIB = 1024
WARM_UP_MIB = 64
FLOWS = (1, 32)
SECONDS = 2.0
MESSAGE = ["--echo", 64]


def bulk(name, settings, directory):
    """One flow and then many, each first up and then down."""
    figures = {"foreign_cores": 0.0}
    with (
        flows.backend(directory, settings.load_cpu) as backend,
        subjects.Subject(
            name, directory, backend.port, settings.subject_cpu, protocol="tcp"
        ) as subject,
    ):

        def carry(count, way, mib):
            size = settings.number(mib, least=16) * 2**20
            return flows.carry(directory, subject, count, way, size, settings.load_cpu)

        for count in FLOWS:
            used = carried = seconds = 0.0
            for way in ("up", "down"):
                carry(count, way, WARM_UP_MIB)
                meter = turns.Meter(subject, [backend])
                result = carry(count, way, BULK_MIB)
                spent, foreign = meter.stop()
                moved = (result["bytes_up"] + result["bytes_down"]) / GIB
                figures[f"f {count} {way}"] = spent * 1000 / moved
                used, carried, seconds = used + spent, carried + moved, seconds + result["seconds"]
                figures["foreign_cores"] = max(figures["foreign_cores"], foreign)
            figures[f"f {count}"] = used * 1000 / carried
            figures[f"f {count} rate"] = carried / seconds
            figures[f"f {count} rate busy"] = used / seconds
    return figures


def echo_turn(name, settings, directory, options):
    """Starts a subject before an echo, warms it up, and lets clients exchange messages for a while."""
    with staged(name, settings, directory, origin=["--echo"], protocol="tcp") as (origin, subject):
        words = ["--requests", MANY, *MESSAGE, *options]
        load(subject, directory, words, settings.seconds(WARM_UP_SECONDS), settings)
        meter = turns.Meter(subject, [origin])
        result = load(subject, directory, words, settings.seconds(SECONDS), settings)
        used, foreign = meter.stop()
    return {
        "us": used / result["requests"] * 1e6,
        "per_second": result["requests_per_s"],
        "busy": used / result["seconds"],
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
        "foreign_cores": foreign,
    }


def churn(name, settings, directory):
    """Connect, one exchange of 64 bytes, close."""
    turn = echo_turn(name, settings, directory, ONE_CLIENT_A_REQUEST)
    return {**turn, "g": turn["us"], "g rate": turn["per_second"], "g rate busy": turn["busy"]}


def ping_pong(name, settings, directory):
    """Messages of 64 bytes to and fro: one client, which waits for each, and many."""
    alone = echo_turn(name, settings, directory, ["--clients", 1])
    many = echo_turn(name, settings, directory, ["--clients", 64])
    return {
        "h 1": alone["per_second"],
        "h 64": many["us"],
        "alone": alone,
        "many": many,
        "foreign_cores": max(alone["foreign_cores"], many["foreign_cores"]),
    }


SCENARIOS = [
    Scenario(
        "f",
        "TCP bulk",
        (
            Case("f 1", "one TCP flow: CPU a GiB", "ms", (Bar(0.90),), digits=0),
            Case("f 1 rate", "one TCP flow: throughput", "GiB/s", (Bar(1.0),), better="higher"),
            Case("f 32", "32 TCP flows: CPU a GiB", "ms", (Bar(0.90),), digits=0),
            Case("f 32 rate", "32 TCP flows: throughput", "GiB/s", (Bar(1.0),), better="higher"),
        ),
        NAMES,
        bulk,
    ),
    Scenario(
        "g",
        "TCP churn",
        (
            Case("g", "TCP connect, 64 B, close: CPU a connection", "µs", (Bar(0.95),)),
            Case("g rate", "TCP churn: connections a second", "/s", better="higher", digits=0),
        ),
        NAMES,
        churn,
    ),
    Scenario(
        "h",
        "TCP ping-pong of 64 B",
        (
            Case("h 1", "64 B ping-pong: round trips a second", "/s", (Bar(1.0),), "higher", 0),
            Case("h 64", "64 B ping-pong of 64 clients: CPU a round trip", "µs"),
        ),
        NAMES,
        ping_pong,
    ),
]
