"""Another source address: as many ports again."""

from . import network, trial
from .clients import Load
from .outcome import Outcome, facts, states
from .subjects import millpond

_HEAD = ["source addresses", "served", "refused", "failed", "ports taken"]
# Two addresses, less what the counting loses.
_FACTOR = 1.9


def run(options):
    """One address and two, both at once, each in a network of its own."""
    ports, rate, seconds = (128, 100, 4) if options.quick else (256, 150, 6)
    outcome = Outcome(
        "sources",
        f"{rate} TCP sessions a second for {seconds} s, from {ports} ports of each address",
    )
    plans = [
        # The NAT has ports for both of them.
        trial.Plan(_subject(count), Load(rate, seconds, keep=False), ports, nat_ports=2 * ports)
        for count in (1, 2)
    ]
    results = trial.run(*plans)
    rows = [_row(count, result) for count, result in zip((1, 2), results)]
    outcome.tables.append((_HEAD, rows))
    outcome.data += [facts(result) for result in results]
    one, two = (result.tally.served for result in results)
    unexpected = sum(result.tally.failed() - result.tally.failures["closed"] for result in results)
    outcome.conditions = {
        f"two addresses carry at least {_FACTOR} times what one does ({two / max(1, one):.2f})": (
            two >= _FACTOR * one
        ),
        "no session fails but by being closed": unexpected == 0,
        "the kernel never answers EADDRNOTAVAIL": not any(result.address_not_available for result in results),
    }
    return outcome


def _subject(count):
    addresses = ", ".join(f'"{address}"' for address in network.SOURCES[:count])
    return millpond(
        f"{count} address{'es' if count > 1 else ''}",
        "",
        f"source.addresses = [{addresses}]",
        protocol="tcp",
    )


def _row(count, result):
    refused = result.tally.failures["closed"]
    return [
        count,
        result.tally.served,
        refused,
        result.tally.failed() - refused,
        states(result.dialled()),
    ]
