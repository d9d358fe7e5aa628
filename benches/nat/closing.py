"""Backends that close: what they take away, a pool has to open again."""

from . import trial
from .backend import Manners
from .clients import Load
from .compare import REFUSED
from .exhaustion import REFUSE_PERCENT
from .outcome import Outcome, facts, states
from .subjects import millpond

_HEAD = ["the backend closes", "served", "refused", "failed", "opened", "sent again", "proxy's sockets"]
_HEAD += ["backend's"]
_CASES = [
    ("after each answer, and says so", Manners(close_after=1), 200),
    ("after each answer, without a word", Manners(close_after=1, announced=False), 200),
    ("after each 10th, without a word", Manners(close_after=10, announced=False), 200),
    ("after 30 ms of silence", Manners(close_idle=0.03), 30),
]


def run(options):
    """Tries one manner after the other, with idle connections closed by RST, and by FIN."""
    ports, seconds = (128, 2) if options.quick else (256, 5)
    outcome = Outcome("closing", f"backends that close, from {ports} local ports, for {seconds} s each")
    rows = []
    for close in ["auto", "graceful"]:
        subject = millpond("millpond", f'socket.close = "{close}"', f'socket.close = "{close}"')
        for title, manners, rate in _CASES:
            plan = trial.Plan(subject, Load(rate, seconds), ports, manners=manners)
            [result] = trial.run(plan)
            title = f"{title} ({close})"
            rows.append(_row(title, result))
            if result.tally.failures:
                outcome.notes.append(f"{title}: failed: {states(result.tally.failures)}")
            outcome.data.append({"manners": title, **facts(result)})
            outcome.conditions |= _conditions(title, result)
    outcome.tables.append((_HEAD, rows))
    return outcome


def _row(title, result):
    tally = result.tally
    endpoint = result.statistics["upstreams"][0]["endpoints"][0]
    return [
        title,
        tally.served,
        tally.failures[REFUSED],
        tally.failed() - tally.failures[REFUSED],
        result.opened,
        endpoint["retries_total"],
        states(result.dialled()),
        states(result.at_backend),
    ]


def _conditions(title, result):
    tally = result.tally
    conditions = {
        f"{title}: no failure but {REFUSED}": tally.failed() == tally.failures[REFUSED],
        f"{title}: the kernel never answers EADDRNOTAVAIL": result.address_not_available == 0,
    }
    if tally.failures[REFUSED]:
        first = tally.first_failure()
        percent = 100 * result.taken_at(first + trial.LOOK_SECONDS) / result.plan.ports
        text = f"{title}: refused only near the level ({percent:.0f} % of the ports taken)"
        conditions[text] = percent > REFUSE_PERCENT - 5
    return conditions
