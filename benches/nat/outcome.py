"""What a scenario shows: tables, and conditions that hold or do not."""

from dataclasses import dataclass, field

from lab import report


@dataclass
class Outcome:
    """What came of a scenario."""

    name: str
    # What is tried, for the reader.
    shows: str
    # (head, rows) of each table.
    tables: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    # Each condition with whether it holds.
    conditions: dict = field(default_factory=dict)
    # The same and more, for machines.
    data: list = field(default_factory=list)

    def passed(self):
        return all(self.conditions.values())

    def text(self):
        """The whole of it, for people."""
        parts = [f"{self.name}: {self.shows}"]
        parts += [report.table(head, rows) for head, rows in self.tables]
        parts += ["\n".join(self.notes)] if self.notes else []
        parts += [report.verdicts(self.conditions)] if self.conditions else []
        return "\n\n".join(parts)

    def json(self):
        return {
            "scenario": self.name,
            "shows": self.shows,
            "passed": self.passed(),
            "conditions": self.conditions,
            "trials": self.data,
        }


def facts(result):
    """A trial for machines."""
    tally = result.tally
    return {
        "subject": result.plan.subject.name,
        "ports": result.plan.ports,
        "nat_ports": result.plan.nat_ports or result.plan.ports,
        "seconds": result.plan.load.seconds,
        "requests": tally.sent,
        "served": tally.served,
        "failures": dict(tally.failures),
        "first_failure_s": tally.first_failure(),
        "slowest_s": round(tally.slowest(), 3),
        "connections_opened": result.opened,
        "proxy_sockets": dict(result.dialled()),
        "backend_sockets": dict(result.at_backend),
        "nat_entries": result.tracked_count,
        "nat_entries_by_state": None if result.tracked is None else dict(result.tracked),
        "most_ports_taken": result.most_taken(),
        "address_not_available": result.address_not_available,
        "cpu_ms_per_request": {"ports_left": _ms(cpu_before(result)), "ports_out": _ms(cpu_after(result))},
    }


def cpu_before(result):
    """CPU seconds for a request until the first one failed."""
    return result.cpu_per_request(0, result.tally.first_failure() or float("inf"))


def cpu_after(result):
    """CPU seconds for a request from then on; `None` if none failed."""
    first = result.tally.first_failure()
    return None if first is None else result.cpu_per_request(first, float("inf"))


def states(counter):
    """Sockets or entries by state, the most frequent first."""
    if counter is None:
        return "not listed"
    return ", ".join(f"{count} {state}" for state, count in counter.most_common() if count) or "0"


def milliseconds(seconds):
    return "-" if seconds is None else f"{seconds * 1000:.2f}"


def _ms(seconds):
    return None if seconds is None else round(seconds * 1000, 4)
