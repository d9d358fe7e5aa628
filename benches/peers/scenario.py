"""What a scenario is, and how the subjects take their turns in it."""

import statistics
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

from lab import command, subjects, tools, turns
from lab.processes import Failed

from . import verdict


# A subject that is busy for less of the time could have served more.
SATURATED = 0.95
# Clients are late when the 99th percentile of their lateness is more of that of the latency.
LATE = 0.25


@dataclass(frozen=True)
class Scenario:
    """One letter of the table."""

    letter: str
    title: str
    cases: tuple
    # Everybody who can take part.
    subjects: tuple
    # (name, settings, directory) -> {key of a case: figure}; may hold more, which is kept for machines.
    take: Callable
    # More rounds say no more.
    rounds_at_most: int | None = None
    # (names, settings, directory) -> what `take` needs to know of all subjects, in settings.prepared.
    prepare: Callable | None = None


@dataclass
class Settings:
    """How much is measured, and where."""

    subject_cpu: int
    load_cpu: int
    rounds: int
    # 1 for a full run; parts of it are shorter, and with fewer clients in memory.
    scale: float
    prepared: dict = field(default_factory=dict)

    def seconds(self, full):
        """How long something is measured that takes `full` seconds in a full run."""
        return max(0.3, full * self.scale)

    def number(self, full, least=1):
        return max(least, round(full * self.scale))


@dataclass
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    rows: list
    missing: list
    failures: dict
    # {subject: [what a turn gave, ...]}
    samples: dict
    notes: list


@contextmanager
def staged(name, settings, directory, body=128, origin=(), **subject):
    """An origin and a subject before it, each on its CPU, for the time of a `with` block."""
    with (
        tools.Origin(directory, body, settings.load_cpu, origin) as behind,
        subjects.Subject(name, directory, behind.port, settings.subject_cpu, **subject) as before,
    ):
        yield behind, before


def play(scenario, names, settings, directory):
    """Lets the subjects take their turns, A B C A B C."""
    wanted = [name for name in scenario.subjects if name in names]
    present, missing = command.installed(wanted)
    samples = {name: [] for name in present}
    failures = {}
    if scenario.prepare:
        settings.prepared = scenario.prepare(present, settings, directory)
    rounds = min(settings.rounds, scenario.rounds_at_most or settings.rounds)
    for number in range(rounds):
        for name in present:
            if name in failures:
                continue
            turns.progress(f"{scenario.letter}: round {number + 1} of {rounds}: {name}")
            try:
                samples[name].append(scenario.take(name, settings, directory))
            except Failed as failure:
                failures[name] = str(failure)
    turns.progress("")
    done = {name: taken for name, taken in samples.items() if taken and name not in failures}
    rows = [verdict.row(case, figures(case.key, done), limited(case.key, done)) for case in scenario.cases]
    return Outcome(scenario, rows, missing, failures, samples, notes(done))


def figures(key, samples):
    """{subject: [its figure of each turn]} of those that have it."""
    return {
        name: [turn[key] for turn in taken]
        for name, taken in samples.items()
        if all(turn.get(key) is not None for turn in taken)
    }


def limited(key, samples):
    """Those that waited for the load, by how busy they were in their median turn."""
    shares = figures(f"{key} busy", samples)
    return {name for name, taken in shares.items() if statistics.median(taken) < SATURATED}


def notes(samples):
    """What a reader has to know of the turns: that others were busy, or the clients too slow."""
    foreign = {
        name: statistics.median(turn["foreign_cores"] for turn in taken)
        for name, taken in samples.items()
        if all("foreign_cores" in turn for turn in taken)
    }
    noisy = [name for name, cores in foreign.items() if cores > turns.NOISY]
    told = [turns.noise(", ".join(noisy), max(foreign.values()))] if noisy else []
    late = figures("late_p99_us", samples)
    slow = [name for name in late if statistics.median(late[name]) > LATE * _median("k p99", samples[name])]
    if slow:
        told.append(
            f"{', '.join(slow)}: the clients wrote requests late themselves, so that part of these "
            "latencies is theirs"
        )
    return told


def _median(key, taken):
    return statistics.median(turn[key] for turn in taken)
