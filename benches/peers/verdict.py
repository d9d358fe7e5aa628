"""What the figures of several rounds come to: medians, ratios, and whether a bar is reached."""

import statistics
from dataclasses import dataclass, field

OWN = "millpond"
FLOOR = "floor"


@dataclass(frozen=True)
class Bar:
    """What millpond's figure has to be: at most `limit` times the best of the `peers` (of all, where none are
    named), or at most `limit` itself if it is `absolute`. Where more is better it is at least."""

    limit: float
    peers: tuple = ()
    absolute: bool = False
    # Strictly, for what must not merely be equalled.
    above: bool = False

    def text(self, better):
        sign = ">" if self.above else {"lower": "≤", "higher": "≥"}[better]
        if self.absolute:
            return f"{sign} {self.limit:g}"
        return f"{sign} {self.limit:g} of {'/'.join(self.peers) or 'the best'}"


@dataclass(frozen=True)
class Case:
    """A row of the table: a figure that every subject has in a turn."""

    key: str
    title: str
    unit: str
    bars: tuple = ()
    better: str = "lower"
    digits: int = 2


@dataclass
class Row:
    """What came of a case."""

    case: Case
    # Medians by subject; and each subject's turns.
    figures: dict = field(default_factory=dict)
    turns: dict = field(default_factory=dict)
    best: str | None = None
    ratio: float | None = None
    # Those that waited for the load: they could have done more, nobody knows how much.
    limited: frozenset = frozenset()
    # (text of the bar, the figure held against it, whether it is reached; `None` where it cannot be judged).
    verdicts: list = field(default_factory=list)


def row(case, samples, limited=frozenset()):
    """The row of a case from the turns of each subject, {name: [figure, ...]}; nothing is judged where one of
    those that count was `limited` by the load."""
    turns = {name: values for name, values in samples.items() if values}
    figures = {name: statistics.median(values) for name, values in turns.items()}
    made = Row(case, figures, turns, limited=frozenset(limited))
    peers = [name for name in figures if name not in (OWN, FLOOR)]
    made.best = best(case, figures, peers)
    if OWN in turns and made.best:
        made.ratio = ratio(turns[OWN], turns[made.best])
    made.verdicts = [(bar.text(case.better), *judge(case, bar, turns)) for bar in case.bars]
    if made.limited & {OWN, made.best}:
        made.verdicts = [(text, figure, None) for text, figure, _ in made.verdicts]
    return made


def best(case, figures, names):
    """Who of them has the best figure; `None` of nobody."""
    present = [name for name in names if name in figures]
    choose = min if case.better == "lower" else max
    return choose(present, key=lambda name: figures[name], default=None)


def ratio(own, others):
    """The median of what turns of the same round are to each other; `None` where the other is nothing."""
    ratios = [mine / theirs for mine, theirs in zip(own, others) if theirs]
    return statistics.median(ratios) if ratios else None


def judge(case, bar, turns):
    """(the figure held against the bar, whether it is reached); both are `None` where one is missing."""
    if OWN not in turns:
        return None, None
    if bar.absolute:
        return _held(case, bar, statistics.median(turns[OWN]))
    names = bar.peers or [name for name in turns if name not in (OWN, FLOOR)]
    medians = {name: statistics.median(values) for name, values in turns.items()}
    against = best(case, medians, names)
    figure = ratio(turns[OWN], turns[against]) if against else None
    return (None, None) if figure is None else _held(case, bar, figure)


def _held(case, bar, figure):
    if bar.above:
        return figure, figure > bar.limit
    return figure, figure <= bar.limit if case.better == "lower" else figure >= bar.limit
