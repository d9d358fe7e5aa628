"""The one table: as text, as Markdown for the README, and as JSON."""

import json
from dataclasses import asdict, dataclass

from lab import report, subjects

from .verdict import FLOOR, OWN

# Subjects by the column in which they stand; those of TCP share that of the same program.
COLUMNS = {
    FLOOR: "floor",
    OWN: "millpond",
    "nginx": "nginx",
    "nginx-stream": "nginx",
    "haproxy": "HAProxy",
    "haproxy-splice": "HAProxy splice",
    "envoy": "Envoy",
    "pingora": "Pingora",
    "caddy": "Caddy",
}
# Stands behind a figure that the load limited.
LIMITED = "†"
_WORDS = {True: "reached", False: "NOT reached", None: "not judged"}


@dataclass
class Result:
    """All that was measured in a run."""

    outcomes: list
    # {subject: why it was left out}
    unlike: dict
    settings: object
    # What installs the peers that are missing.
    remaining: list
    seconds: float

    def rows(self):
        return [row for outcome in self.outcomes for row in outcome.rows]

    def missing(self):
        """The subjects that are not installed, each once."""
        return list(dict.fromkeys(name for outcome in self.outcomes for name in outcome.missing))

    def measured(self):
        """The subjects that were measured, each once."""
        names = (name for outcome in self.outcomes for name in outcome.samples)
        return [name for name in dict.fromkeys(names) if name not in self.missing()]

    def notes(self):
        """What is to be said of the run, for people."""
        limited = any(row.limited for row in self.rows())
        told = f"{LIMITED} waited for the clients, whose CPU was the limit: it could do more"
        lines = [told] if limited else []
        lines += [f"{name} is not installed" for name in self.missing()]
        lines += [f"to install what is missing: {line}" for line in self.remaining if self.missing()]
        lines += [f"left out, as it is unlike the others: {why}" for why in self.unlike.values()]
        for outcome in self.outcomes:
            letter = outcome.scenario.letter
            lines += [f"{letter}: {name} failed: {why}" for name, why in outcome.failures.items()]
            lines += [f"{letter}: {note}" for note in outcome.notes]
        return lines


def line(outcome, seconds):
    """One scenario, as soon as it is over."""
    told = [f"[{seconds:.0f} s] {outcome.scenario.letter}: {outcome.scenario.title}"]
    for row in outcome.rows:
        figures = [f"{name} {number(row.case, figure)}" for name, figure in row.figures.items()]
        told.append(f"  {row.case.title} ({row.case.unit}): {', '.join(figures) or 'no figure'}")
    return "\n".join(told)


def text(result):
    """The whole, for a terminal."""
    columns, cells = _grid(result)
    head = ["", "unit", *columns, "best peer", "x best", "bars"]
    parts = [report.machine_line(), _versions(result), _rounds(result), report.table(head, cells)]
    verdicts = [
        f"{_WORDS[held]:11}  {_figure(figure)} {bar}  ({row.case.title})"
        for row in result.rows()
        for bar, figure, held in row.verdicts
    ]
    parts += ["\n".join(verdicts)] if verdicts else []
    parts += ["\n".join(result.notes())] if result.notes() else []
    return "\n\n".join(parts)


def markdown(result):
    """The table for the README, with what it holds for."""
    columns, cells = _grid(result)
    head = ["", "unit", *columns, "best peer", "of the best", "bars"]
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * 2 + ["---:"] * (len(head) - 2), *cells]]
    not_reached = [
        f"- {row.case.title}: {_figure(figure)}, to be {bar}."
        for row in result.rows()
        for bar, figure, held in row.verdicts
        if held is False
    ]
    told = ["\n".join(lines), f"{report.machine_line()}. {_versions(result)}. {_rounds(result)}."]
    told += ["Not reached:\n\n" + "\n".join(not_reached)] if not_reached else []
    told += ["\n".join(f"- {note}." for note in result.notes())] if result.notes() else []
    return "\n\n".join(told) + "\n"


def as_json(result):
    rows = [
        {
            **asdict(row.case),
            "figures": row.figures,
            "turns": row.turns,
            "best_peer": row.best,
            "ratio_to_best_peer": row.ratio,
            "limited_by_the_load": sorted(row.limited),
            "verdicts": [
                {"bar": bar, "figure": figure, "reached": held} for bar, figure, held in row.verdicts
            ],
        }
        for row in result.rows()
    ]
    whole = {
        "machine": report.machine(),
        "versions": {name: subjects.version(name) for name in result.measured()},
        "rounds": result.settings.rounds,
        "scale": result.settings.scale,
        "seconds": round(result.seconds),
        "missing": result.missing(),
        "rows": rows,
        "notes": result.notes(),
        "samples": {outcome.scenario.letter: outcome.samples for outcome in result.outcomes},
    }
    return json.dumps(whole, indent=2) + "\n"


def number(case, figure):
    """A figure as it stands in a table; `-` where there is none."""
    return "-" if figure is None else f"{figure:,.{case.digits}f}"


def _grid(result):
    """The columns of the subjects that were measured, and the rows of all cases."""
    columns = list(dict.fromkeys(COLUMNS[name] for name in COLUMNS if name in result.measured()))
    cells = []
    for row in result.rows():
        figures = {
            COLUMNS[name]: number(row.case, figure) + (LIMITED if name in row.limited else "")
            for name, figure in row.figures.items()
        }
        held = [verdict for _, _, verdict in row.verdicts]
        cells.append(
            [
                f"{row.case.key.split()[0]}. {row.case.title}",
                row.case.unit,
                *[figures.get(column, "-") for column in columns],
                COLUMNS.get(row.best, "-"),
                _figure(row.ratio),
                f"{held.count(True)} of {len(held)}" if held else "-",
            ]
        )
    return columns, cells


def _figure(figure):
    return "-" if figure is None else f"{figure:.2f}" if figure < 100 else f"{figure:,.0f}"


def _versions(result):
    told = {COLUMNS[name].split()[0]: subjects.version(name) for name in result.measured() if name != FLOOR}
    return ", ".join(f"{name} {version}" for name, version in told.items())


def _rounds(result):
    rounds = result.settings.rounds
    kind = "" if result.settings.scale == 1 else ", shortened: no figures to quote"
    return f"medians of {rounds} round{'s' if rounds > 1 else ''}, {result.seconds / 60:.0f} min{kind}"
