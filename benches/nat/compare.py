"""The main experiment: every subject, the same requests, the same few ports."""

from lab.processes import Failed

from . import trial
from .backend import Manners
from .clients import Load
from .outcome import Outcome, cpu_after, cpu_before, facts, milliseconds, states
from .subjects import COMPARED

NAMES = [subject.name for subject in COMPARED]
# The only way in which millpond may refuse what it has no port for.
REFUSED = "503 source_ports"
_DELAY_SECONDS = 0.05
_TIME_WAIT_PERCENT = 1
_HEAD = ["subject", "served", "failed", "opened", "proxy's sockets", "backend's", "NAT's entries"]
_HEAD += ["EADDRNOTAVAIL", "CPU ms/request", "ports out"]


def run(options):
    """Tries one subject after the other."""
    ports, rate, seconds = (128, 100, 4) if options.quick else (512, 200, 8)
    outcome = Outcome(
        "compare",
        f"{rate} requests a second for {seconds} s, from {ports} local ports through a NAT with as many, "
        f"to a backend that takes {_DELAY_SECONDS * 1000:.0f} ms",
    )
    rows = []
    for subject in COMPARED:
        if subject.name not in options.subjects:
            continue
        if not subject.installed():
            rows.append([subject.name, "not installed"] + [""] * (len(_HEAD) - 2))
            continue
        plan = trial.Plan(subject, Load(rate, seconds), ports, manners=Manners(delay=_DELAY_SECONDS))
        try:
            [result] = trial.run(plan)
        except Failed as failure:
            rows.append([subject.name, "failed"] + [""] * (len(_HEAD) - 2))
            outcome.conditions[f"{subject.name} runs: {failure}"] = False
            continue
        rows.append(_row(result))
        outcome.data.append(facts(result))
        outcome.notes.append(f"{subject.name} {subject.version()}: {subject.title}{_failures(result)}")
        outcome.conditions |= _conditions(result)
    outcome.tables.append((_HEAD, rows))
    return outcome


def _row(result):
    return [
        result.plan.subject.name,
        result.tally.served,
        result.tally.failed(),
        result.opened,
        states(result.dialled()),
        states(result.at_backend),
        states(result.tracked),
        result.address_not_available,
        milliseconds(cpu_before(result)),
        milliseconds(cpu_after(result)),
    ]


def _failures(result):
    failures = result.tally.failures
    return f"; failed: {states(failures)}" if failures else ""


def _conditions(result):
    """What has to hold: the peers are there to compare with."""
    name = result.plan.subject.name
    if not name.startswith("millpond"):
        return {}
    if name != "millpond":
        unexpected = result.tally.failed() - result.tally.failures[REFUSED]
        return {
            f"{name}: the kernel never answers EADDRNOTAVAIL": result.address_not_available == 0,
            f"{name}: no failure but {REFUSED}": unexpected == 0,
        }
    pool, waiting = result.most_open(), result.dialled()["TIME_WAIT"]
    entries = result.tracked_count
    return {
        f"{name}: no request fails": result.tally.failed() == 0,
        f"{name}: TIME_WAIT at most {_TIME_WAIT_PERCENT} % of the pool ({waiting} of {pool})": (
            waiting * 100 <= pool * _TIME_WAIT_PERCENT
        ),
        f"{name}: no more entries at the NAT than in the pool ({entries} of {pool})": entries <= pool,
    }
