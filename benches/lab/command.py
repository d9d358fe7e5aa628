"""The outside of a measuring command: its options, its directory, its exit status."""

import argparse
import subprocess
import sys
import tempfile

from . import build, processes, subjects


def parser(description, subject_names, default=None):
    """Options that every command has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument(
        "--subjects",
        type=lambda text: names(text, subject_names),
        default=default or subject_names,
        metavar="A,B",
        help=f"of {', '.join(subject_names)} (default: {', '.join(default or subject_names)})",
    )
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return options


def run(measure, options):
    """Calls `measure` with the options and a directory that is removed afterwards. It returns whether all
    conditions are met: exit status 0, otherwise 1."""
    processes.prepare()
    try:
        own = [name for name in options.subjects if name == "millpond"]
        build.ensure(build.TOOLS + own)
        with tempfile.TemporaryDirectory(prefix="millpond-bench-") as directory:
            sys.exit(0 if measure(options, directory) else 1)
    except processes.Failed as failure:
        sys.exit(str(failure))
    except subprocess.CalledProcessError as failure:
        sys.exit(f"the build failed: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


def installed(wanted):
    """The names split into those that can be measured and those that are not installed."""
    present = [name for name in wanted if subjects.executable(name)]
    return present, [name for name in wanted if name not in present]


def positive(text):
    """An argument that has to be a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def names(text, known):
    """An argument that has to be a list of some of these names."""
    chosen = text.split(",")
    for name in chosen:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(known)}")
    return chosen
