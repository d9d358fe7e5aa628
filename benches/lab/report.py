"""Tables and JSON."""

import json
import os
import platform


def table(head, rows):
    """Aligned columns: the first to the left, the others to the right."""
    rows = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row in rows:
        first, *others = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join([first, *others]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def loads(rows):
    """A table of what `load` has measured, each with what it is called."""
    keys = ["requests", "errors", "p50_us", "p99_us", "max_us"]
    head = ["clients", "requests", "failed", "p50 µs", "p99 µs", "max µs"]
    return table(head, [[title, *(one[key] for key in keys)] for title, one in rows])


def verdicts(conditions):
    """A line for each condition, and whether it holds."""
    return "\n".join(f"{'pass' if holds else 'FAIL'}  {text}" for text, holds in conditions.items())


def show_json(result):
    print(json.dumps({"machine": machine(), **result}, indent=2))


def machine():
    """What the numbers hold for."""
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"kernel": platform.release(), "cpu": model, "cpus": len(os.sched_getaffinity(0))}


def machine_line():
    facts = machine()
    return f"{facts['cpu']}, {facts['cpus']} CPUs, Linux {facts['kernel']}"
