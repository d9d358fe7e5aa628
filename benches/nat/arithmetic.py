"""What the same ports carry with other times: arithmetic, nothing is run."""

from .exhaustion import REFUSE_PERCENT
from .outcome import Outcome

# (who has the ports, how many there are for one destination)
_PORTS = [
    ("this laboratory, as compared", 512),
    ("Linux by default, 32768-60999", 28_232),
    ("all above 1023", 64_512),
    ("two addresses, all above 1023", 129_024),
]
# Linux's; twice the maximum segment lifetime of 2 minutes that RFC 9293 (section 3.4.2) names.
_TIMES = [60, 240]


def run(_options):
    """New connections a second for each number of ports and each time."""
    head = ["ports towards one destination", "ports", f"used ({REFUSE_PERCENT} %)"]
    head += [f"new a second, {seconds} s" for seconds in _TIMES]
    rows = []
    for title, ports in _PORTS:
        used = ports * REFUSE_PERCENT // 100
        rows.append([title, ports, used, *(f"{used / seconds:.1f}" for seconds in _TIMES)])
    notes = [
        "Each connection that this side closes first by FIN holds its port for that time, so no more than",
        "ports / time can be opened a second, for ever. A pooled connection that serves N requests carries N",
        "times as many; one that is closed by RST holds its port on this host for no time at all. What would be",
        "enough for a rate says `millpond plan --rate RATE --ports PORTS --time-wait 240`.",
    ]
    outcome = Outcome("arithmetic", "what a time of 240 s would mean, without waiting for it")
    outcome.tables.append((head, rows))
    outcome.notes = notes
    return outcome
