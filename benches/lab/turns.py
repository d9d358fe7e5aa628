"""Subjects that take turns on a CPU of their own, and what is counted of a turn."""

import os
import sys
import time

from . import command, procfs, report
from .processes import Failed

# Foreign CPU time, in cores, above which a run is called noisy.
NOISY = 0.1


def add_options(options):
    options.add_argument(
        "--rounds", type=command.positive, default=5, help="turns of each subject (default 5)"
    )
    options.add_argument("--subject-cpu", type=int, help="default: the last this process may use")
    options.add_argument("--load-cpu", type=int, help="default: the first")


def take(options, directory, take_turn, summary, show):
    """Lets the subjects take their turns, and shows what came of it; whether none failed."""
    choose_cpus(options)
    present, missing = command.installed(options.subjects)
    samples = {name: [] for name in present}
    failures = {}
    for number in range(options.rounds):
        for name in present:
            if name in failures:
                continue
            progress(f"round {number + 1} of {options.rounds}: {name}")
            try:
                samples[name].append(take_turn(name, options, directory))
            except Failed as failure:
                failures[name] = str(failure)
    progress("")
    rows = [summary(name, samples, failures, missing) for name in options.subjects]
    if options.json:
        settings = {key: value for key, value in vars(options).items() if key not in ("json", "subjects")}
        report.show_json({"settings": settings, "subjects": rows})
    else:
        show(rows, options)
    return not failures


def choose_cpus(options):
    cpus = sorted(os.sched_getaffinity(0))
    if options.subject_cpu is None:
        options.subject_cpu = cpus[-1]
    if options.load_cpu is None:
        options.load_cpu = cpus[0]
    if options.subject_cpu == options.load_cpu:
        raise Failed("the subject needs a CPU of its own, apart from the load's")


class Meter:
    """CPU time from its making to `stop`. `others` are the processes of the load that live through it;
    what this program starts and ends meanwhile is counted with them."""

    def __init__(self, subject, others):
        self._subject = subject.pids()
        self._load = [os.getpid(), *(pid for other in others for pid in other.pids())]
        self._began = self._now()

    def stop(self):
        """The seconds that the subject used, and how many cores the rest of the machine did."""
        began, busy, used, load = (after - before for after, before in zip(self._now(), self._began))
        return used, max(0.0, (busy - used - load) / began)

    def _now(self):
        return (
            time.monotonic(),
            procfs.machine_busy_seconds(),
            procfs.exact_cpu_seconds(self._subject),
            procfs.cpu_seconds(self._load) + _children_cpu(),
        )


def noise(name, foreign_cores):
    """The warning to be shown for a subject's turns; `None` if they were quiet."""
    if foreign_cores <= NOISY:
        return None
    return f"{name}: other programs used {foreign_cores:.2f} cores meanwhile; repeat this in quiet"


def progress(text):
    """What is going on, for a person who waits."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _children_cpu():
    """CPU time of the programs that this one started and that have ended, such as a load."""
    times = os.times()
    return times.children_user + times.children_system
