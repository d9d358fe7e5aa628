"""The table as a picture: a line for each case, a mark for each subject, at how many times millpond's figure
its own is. What stands to the right of 1 is worse than millpond, also where more is better."""

import math
from html import escape

from .show import COLUMNS, number
from .verdict import OWN

TITLE = "Times millpond’s figure: right of 1 is worse than millpond"
WIDTH = 900
LEFT, RIGHT, TOP, BOTTOM = 420, 30, 96, 58
ROW = 54
RADIUS = 8
# Marks nearer than this would cover each other and are moved up and down, and to the right in the end.
APART = 2 * RADIUS + 1
LEVELS = (0, -APART, APART)
# Times beyond are drawn at the edge.
LEAST, MOST = 0.25, 64
# Letter and colour of each column; white on them can be read.
MARKS = {
    "floor": ("F", "#57606a"),
    "nginx": ("N", "#1a7f37"),
    "HAProxy": ("H", "#0969da"),
    "HAProxy splice": ("S", "#0550ae"),
    "Envoy": ("E", "#bf3989"),
    "Pingora": ("P", "#bc4c00"),
    "Caddy": ("C", "#8250df"),
}
# The card brings its own background, so that it can be read on any page.
STYLE = """
.card { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328; font: 13px system-ui, sans-serif }
.small { font-size: 11px; fill: #57606a } .title { font-size: 16px; font-weight: 600 }
.grid { stroke: #d8dee4 } .one { stroke: #1f2328; stroke-width: 1.5 }
text.mark { fill: #ffffff; font-size: 10px; font-weight: 700; text-anchor: middle }
@media (prefers-color-scheme: dark) {
.card { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 } .small { fill: #9198a1 }
.grid { stroke: #30363d } .one { stroke: #e6edf3 }
}"""


def svg(result):
    """The whole picture, as a file of its own."""
    rows = [(row, times) for row in result.rows() if (times := _times(row))]
    low, high = _range([value for _, times in rows for value in times.values()])
    height = TOP + ROW * len(rows) + BOTTOM
    columns = [name for name in MARKS if any(name in times for _, times in rows)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="millpond and its peers">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="title" x="20" y="30">{TITLE}</text>',
        *_legend(columns),
        *_axis(low, high, height),
    ]
    for place, (row, times) in enumerate(rows):
        parts += _line(row, times, TOP + ROW * (place + 0.5), low, high)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _times(row):
    """{column: how many times worse than millpond} of the others in a row; a figure that the load limited is
    nobody's."""
    own = row.figures.get(OWN)
    if not own or OWN in row.limited:
        return {}
    times = {}
    for name, figure in row.figures.items():
        if name != OWN and name not in row.limited and figure > 0:
            times[COLUMNS[name]] = figure / own if row.case.better == "lower" else own / figure
    return times


def _range(values):
    """The powers of two that enclose the values, as far as they are drawn, with 1 between them."""
    least = max(LEAST, min([*values, 0.99]))
    most = min(MOST, max([*values, 1.01]))
    return 2.0 ** math.floor(math.log2(least)), 2.0 ** math.ceil(math.log2(most))


def _x(value, low, high):
    """Where a number of times stands, on a logarithmic scale."""
    share = math.log(min(max(value, low), high) / low) / math.log(high / low)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _legend(columns):
    parts, x = [], 28
    for column in columns:
        parts += _mark(column, x, 56, None)
        parts.append(f'<text x="{x + 14}" y="60">{escape(column)}</text>')
        x += 36 + 8 * len(column)
    return parts


def _axis(low, high, height):
    parts = []
    for power in range(round(math.log2(low)), round(math.log2(high)) + 1):
        value = 2.0**power
        x = _x(value, low, high)
        kind = "one" if value == 1 else "grid"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 40}"/>')
        place = f'x="{x:.1f}" y="{height - 24}"'
        parts.append(f'<text class="small" text-anchor="middle" {place}>{value:g}</text>')
    parts.append(f'<text class="small" x="20" y="{height - 24}">millpond’s own figure stands at 1</text>')
    return parts


def _line(row, times, y, low, high):
    own = f"millpond {number(row.case, row.figures[OWN])} {row.case.unit}"
    parts = [
        f'<text x="20" y="{y - 2:.1f}">{escape(row.case.title)}</text>',
        f'<text class="small" x="20" y="{y + 13:.1f}">{escape(own)}</text>',
    ]
    names = {COLUMNS[name]: name for name in row.figures}
    ordered = sorted(times.items(), key=lambda item: item[1])
    places = _apart([_x(value, low, high) for _, value in ordered])
    for (column, value), (x, level) in zip(ordered, places):
        figure = number(row.case, row.figures[names[column]])
        parts += _mark(column, x, y + level, f"{column}: {figure} {row.case.unit}, {value:.2f} times")
    return parts


def _apart(places):
    """(x, level) for each x of a row, in order, so that no mark covers another."""
    ends = dict.fromkeys(LEVELS, -math.inf)
    made = []
    for x in places:
        level = next((level for level in LEVELS if ends[level] <= x), min(LEVELS, key=ends.get))
        x = max(x, ends[level])
        ends[level] = x + APART
        made.append((x, level))
    return made


def _mark(column, x, y, title):
    letter, colour = MARKS[column]
    told = f"<title>{escape(title)}</title>" if title else ""
    return [
        f'<g>{told}<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{colour}"/>'
        f'<text class="mark" x="{x:.1f}" y="{y + 3.5:.1f}">{letter}</text></g>'
    ]
