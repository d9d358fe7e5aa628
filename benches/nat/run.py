#!/usr/bin/env python3
"""The NAT laboratory: what becomes of connections between a proxy and its backend when a NAT is between
them and ports are few.

Client, proxy, NAT (nftables, masquerade) and backend are built in four network namespaces, anew for each
trial, with Linux's TIME_WAIT of 60 s and net.ipv4.tcp_tw_reuse = 0. Nothing outside is touched, and all of
it ends with this command. Where user namespaces are allowed it needs no root.

compare      every subject under the same load; this is what runs if nothing is named
closing      backends that close after an answer, after several, after a silence
exhaustion   nothing pooled, in HTTP and TCP, until the ports run out and come back
sources      two source addresses against one
small-nat    a NAT with fewer ports than the host
silent-nat   a NAT that forgets idle connections without a word
arithmetic   what other times mean; nothing is run

The exit status is 0 when millpond's conditions hold, 1 when not, 2 for a wrong command line.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import build, processes, report
from nat import arithmetic, closing, compare, exhaustion, nats, sandbox, sources
from nat.outcome import Outcome

SCENARIOS = {
    "compare": compare.run,
    "closing": closing.run,
    "exhaustion": exhaustion.run,
    "sources": sources.run,
    "small-nat": nats.small,
    "silent-nat": nats.silent,
    "arithmetic": arithmetic.run,
}


def main():
    options = _parser().parse_args()
    chosen = options.scenarios or ["compare"]
    names = list(SCENARIOS) if "all" in chosen else list(dict.fromkeys(chosen))
    processes.prepare()
    try:
        build.ensure(["millpond"])
        sandbox.enter()
        outcomes = _run(names, options)
    except processes.Failed as failure:
        sys.exit(str(failure))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if all(outcome.passed() for outcome in outcomes) else 1)


def _run(names, options):
    print(report.machine_line())
    began, outcomes = time.monotonic(), []
    for name in names:
        try:
            outcome = SCENARIOS[name](options)
        except processes.Failed as failure:
            outcome = Outcome(name, "not measured", conditions={f"it runs: {failure}": False})
        outcomes.append(outcome)
        print("\n" + outcome.text(), flush=True)
    failed = [outcome.name for outcome in outcomes if not outcome.passed()]
    verdict = f"FAILED: {', '.join(failed)}" if failed else "passed"
    print(f"\n{verdict}, {time.monotonic() - began:.0f} s")
    if options.json:
        scenarios = [outcome.json() for outcome in outcomes]
        text = json.dumps({"machine": report.machine(), "scenarios": scenarios}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    return outcomes


def _parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "scenarios", nargs="*", type=_scenario, metavar="SCENARIO", help="those above, or all"
    )
    parser.add_argument(
        "--subjects",
        type=_subjects,
        default=compare.NAMES,
        metavar="A,B",
        help=f"of compare: {', '.join(compare.NAMES)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer ports, shorter, TIME_WAIT not waited for")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the same and more there, as JSON")
    return parser


def _scenario(name):
    if name not in [*SCENARIOS, "all"]:
        raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(SCENARIOS)}, all")
    return name


def _subjects(text):
    names = text.split(",")
    for name in names:
        if name not in compare.NAMES:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(compare.NAMES)}")
    return names


if __name__ == "__main__":
    main()
