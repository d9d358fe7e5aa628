#!/usr/bin/env python3
"""millpond beside its peers, in one run: nginx, HAProxy, Envoy, Pingora and Caddy, and a floor that forwards
without looking.

Each scenario lets the subjects take their turns (A B C A B C ...), each started anew for its turn and alone
on one CPU, the origin and the clients on another. Figures are medians of the rounds, and ratios those of
turns in the same round. What millpond has to reach stands beside each figure, reached or not.

  a  64 keep-alive clients, 128 B             h  64 B to and fro in TCP
  b  1,000 keep-alive clients                 i  8,000 idle clients, memory
  c  browsers' heads, 10 KB                   j  8 slow clients over 2 workers, reuse
  d  a connection for each request            k  latency at a fixed rate
  e  bodies of 1 MiB, down and up             l  start and reload with 10 and 10,000 endpoints
  f  TCP in bulk, one flow and 32             m  cost against endpoints, listeners, pooled connections
  g  TCP connect, one exchange, close

The exit status is 0 if all could be measured, reached or not, 1 if not, 2 for a wrong command line.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import command, turns
from peers import clients, equivalence, install, lifecycle, picture, scale, show, tcp, web
from peers.scenario import Settings, play

SCENARIOS = [*web.SCENARIOS, *tcp.SCENARIOS, *clients.SCENARIOS, *lifecycle.SCENARIOS, *scale.SCENARIOS]
LETTERS = [scenario.letter for scenario in SCENARIOS]
NAMES = list(dict.fromkeys(name for scenario in SCENARIOS for name in scenario.subjects))
ROUNDS = 3
QUICK = 0.2


def main():
    options = _parser().parse_args()
    if options.install:
        _install()
    else:
        command.run(_measure, options)


def _install():
    try:
        print("\n".join(install.install()) or "all peers are installed")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"{' '.join(map(str, failure.cmd[:3]))} ... failed with status {failure.returncode}")
    except KeyboardInterrupt:
        sys.exit(130)


def _measure(options, directory):
    """Plays the scenarios and shows what came of it; whether all could be measured."""
    turns.choose_cpus(options)
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    settings = Settings(options.subject_cpu, options.load_cpu, rounds, QUICK if options.quick else 1.0)
    began = time.monotonic()
    unlike = equivalence.check(options.subjects, directory)
    names = [name for name in options.subjects if name not in unlike]
    outcomes = []
    for scenario in SCENARIOS:
        if scenario.letter in options.scenarios:
            outcomes.append(play(scenario, names, settings, directory))
            print(show.line(outcomes[-1], time.monotonic() - began), file=sys.stderr, flush=True)
    result = show.Result(outcomes, unlike, settings, install.remaining(), time.monotonic() - began)
    print(show.text(result))
    writers = {options.json: show.as_json, options.markdown: show.markdown, options.svg: picture.svg}
    for path, made in writers.items():
        if path:
            path.write_text(made(result), encoding="utf-8")
    return not unlike and not any(outcome.failures for outcome in outcomes)


def _parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--install", action="store_true", help="get Envoy, Caddy and Pingora, below the target directory")
    letters, names = (lambda text, known=known: command.names(text, known) for known in (LETTERS, NAMES))
    add("--scenarios", type=letters, default=LETTERS, metavar="a,b", help="(default all)")
    add("--subjects", type=names, default=NAMES, metavar="A,B", help=f"of {', '.join(NAMES)}")
    add("--rounds", type=command.positive, help=f"turns of each subject (default {ROUNDS}, --quick 1)")
    add("--quick", action="store_true", help="a fifth of the load: shows that all works")
    add("--json", type=Path, metavar="FILE", help="write everything there, as JSON")
    add("--markdown", type=Path, metavar="FILE", help="write the table there, for the README")
    add("--svg", type=Path, metavar="FILE", help="write a picture there")
    add("--subject-cpu", type=int, help="default: the last this process may use")
    add("--load-cpu", type=int, help="default: the first")
    return parser


if __name__ == "__main__":
    main()
