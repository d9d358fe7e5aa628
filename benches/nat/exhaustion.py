"""Nothing pooled: the ports run out, and come back after TIME_WAIT."""

import math

from . import network, trial
from .clients import Load
from .compare import REFUSED
from .outcome import Outcome, facts, milliseconds, states
from .subjects import millpond

REFUSE_PERCENT = 85
# How far from the level refusals may begin, and how far past it ports may be taken: the counting of
# what was taken between two looks.
_TOLERANCE_PERCENT = 3
# A refusal may cost no more than a request, and both no more when ports are out than before, within the
# noise of a busy machine.
_CPU_FACTOR = 1.5
# Timers of a minute are up to 5.12 s late (the granularity of their level in kernel/time/timer.c).
_LATE_SECONDS = 8
_HEAD = ["seconds", "ports taken", "served/s", "refused/s", "CPU ms/s", "CPU ms/request"]
_STEP_SECONDS = 4


def run(options):
    """HTTP without a pool and TCP, both at once, each in a network of its own."""
    ports, rate = (256, 100) if options.quick else (1024, 200)
    least = ports / rate + (3 if options.quick else network.TIME_WAIT_SECONDS + _LATE_SECONDS)
    seconds = math.ceil(least / _STEP_SECONDS) * _STEP_SECONDS
    outcome = Outcome(
        "exhaustion",
        f"{rate} requests a second for {seconds} s from {ports} ports, each with a connection of its "
        f"own; refuse_percent = {REFUSE_PERCENT}",
    )
    plans = [trial.Plan(subject, Load(rate, seconds, keep), ports) for subject, keep in _subjects()]
    for result in trial.run(*plans):
        name = result.plan.subject.name
        timeline = _timeline(result)
        outcome.tables.append(([name, *_HEAD], [["", *row] for row in timeline]))
        outcome.notes.append(_note(result))
        conditions = _conditions(result) | ({} if options.quick else _resumed(result))
        outcome.conditions |= {f"{name}: {text}": held for text, held in conditions.items()}
        outcome.data.append({**facts(result), "timeline": [dict(zip(_HEAD, row)) for row in timeline]})
    return outcome


def _subjects():
    """(subject, whether its clients keep their connections)."""
    level = f"source.refuse_percent = {REFUSE_PERCENT}"
    yield millpond("http", "", "pool.max_idle = 0", 'socket.close = "graceful"', level), True
    yield millpond("tcp", "", level, protocol="tcp"), False


def _timeline(result):
    """A row for every few seconds."""
    rows, start = [], 0.0
    while start < result.plan.load.seconds:
        end = start + _STEP_SECONDS
        served, failed = result.tally.between(start, end)
        cpu = result.cpu_per_request(start, end)
        rows.append(
            [
                f"{start:.0f}-{end:.0f}",
                result.taken_at(end),
                f"{served / (end - start):.0f}",
                f"{failed / (end - start):.0f}",
                "-" if cpu is None else f"{1000 * cpu * (served + failed) / (end - start):.1f}",
                milliseconds(cpu),
            ]
        )
        start = end
    return rows


def _note(result):
    first = result.tally.first_failure()
    said = "nothing failed" if first is None else f"first failure after {first:.1f} s"
    return (
        f"{result.plan.subject.name}: {result.tally.served} served, failed: {states(result.tally.failures)}; "
        f"{said}; at most {result.most_taken()} of {result.plan.ports} ports taken; "
        f"EADDRNOTAVAIL {result.address_not_available} times"
    )


def _conditions(result):
    tally, ports = result.tally, result.plan.ports
    refused = "closed" if not result.plan.load.keep else REFUSED
    first = tally.first_failure()
    percent = 0 if first is None else 100 * result.taken_at(first + trial.LOOK_SECONDS) / ports
    before = result.cpu_per_request(0, first or 0)
    after = result.cpu_per_request(first or 0, network.TIME_WAIT_SECONDS)
    most = 100 * result.most_taken() / ports
    begins = abs(percent - REFUSE_PERCENT) <= _TOLERANCE_PERCENT
    cost = f"{milliseconds(before)} ms, then {milliseconds(after)} ms"
    return {
        f"no failure but {refused}": tally.failed() == tally.failures[refused],
        f"refusals begin at {REFUSE_PERCENT} % ({percent:.1f} %)": begins,
        f"ports are left at any time ({most:.1f} % taken at most)": (
            most <= REFUSE_PERCENT + _TOLERANCE_PERCENT
        ),
        "the kernel never answers EADDRNOTAVAIL": result.address_not_available == 0,
        f"a request costs no more CPU when ports are out ({cost})": (
            None not in (before, after) and after <= before * _CPU_FACTOR
        ),
    }


def _resumed(result):
    level = result.plan.ports * REFUSE_PERCENT / 100
    start = network.TIME_WAIT_SECONDS - 1
    served, _ = result.tally.between(start, float("inf"))
    return {f"what returns is used again ({served} served after {start} s)": served >= 0.9 * level}
