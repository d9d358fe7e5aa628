"""Nothing pooled: the ports run out, and come back after TIME_WAIT.

In HTTP they need not run out: what would have been closed by FIN is closed by RST once ports are scarce. In
TCP the client decides, and where it closes first, millpond's FIN is the first at the backend.
"""

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
# Where ports are scarce: source.reuse_only_percent, less what is taken between two looks.
_SCARCE_PERCENT = 72
# A request, served or refused, may cost no more when ports are scarce than before, within the noise of a
# busy machine.
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
    refused = REFUSED if result.plan.load.keep else "closed"
    most = 100 * result.most_taken() / ports
    conditions = {
        f"no failure but {refused}": tally.failed() == tally.failures[refused],
        f"ports are left at any time ({most:.1f} % taken at most)": (
            most <= REFUSE_PERCENT + _TOLERANCE_PERCENT
        ),
        "the kernel never answers EADDRNOTAVAIL": result.address_not_available == 0,
    }
    # In HTTP nothing may have failed.
    if tally.failed() or not result.plan.load.keep:
        begin = 100 * result.taken_at((tally.first_failure() or 0) + trial.LOOK_SECONDS) / ports
        conditions[f"refusals begin at {REFUSE_PERCENT} % ({begin:.1f} %)"] = (
            abs(begin - REFUSE_PERCENT) <= _TOLERANCE_PERCENT
        )
    return conditions | _cost(result)


def _cost(result):
    """Whether CPU time stays what it was while ports were plenty."""
    scarce = result.plan.ports * _SCARCE_PERCENT / 100
    since = next((look.at for look in result.looks if look.taken() >= scarce), 0)
    before = result.cpu_per_request(0, since)
    after = result.cpu_per_request(since, network.TIME_WAIT_SECONDS)
    text = f"{milliseconds(before)} ms, then {milliseconds(after)} ms"
    held = None not in (before, after) and after <= before * _CPU_FACTOR
    return {f"a request costs no more CPU when ports are scarce ({text})": held}


def _resumed(result):
    scarce = result.plan.ports * _SCARCE_PERCENT / 100
    start = network.TIME_WAIT_SECONDS - 1
    served, _ = result.tally.between(start, float("inf"))
    return {f"what returns is used again ({served} served after {start} s)": served >= scarce}
