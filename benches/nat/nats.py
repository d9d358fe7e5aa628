"""NATs with fewer ports than the host, and NATs that forget.

A recent Linux gives a port in TIME_WAIT to the next who needs it (nf_nat_used_tuple_harder in nf_nat_core.c),
which those in clouds do not. So what runs out here are the ports of connections that are open.
"""

from . import network, trial
from .backend import Manners
from .clients import Load
from .outcome import Outcome, facts, states
from .subjects import millpond

_SMALL_HEAD = ["source.nat", "served", "refused", "failed", "slowest s", "NAT's entries"]
_SILENT_HEAD = ["upstream", "served", "failed", "sent again", "slowest s", "opened"]
# What a request may take that is answered without waiting for a peer that is silent.
_PROMPT_SECONDS = 0.5
_IDLE_SECONDS = 2
_USER_TIMEOUT_SECONDS = 1
# It counts from the first segment that is sent again (retransmits_timed_out in net/ipv4/tcp_timer.c).
_FIRST_AGAIN_SECONDS = 0.5


def small(options):
    """A NAT with a quarter of the host's ports: with and without being told."""
    ports, nat_ports, rate = (256, 64, 40) if options.quick else (512, 128, 60)
    seconds, delay = 4, 6.0
    outcome = Outcome(
        "small-nat",
        f"{rate} requests a second for {seconds} s, of {delay:.0f} s each and none pooled, from {ports} "
        f"local ports through a NAT with {nat_ports}, which drops what it has no port for",
    )
    wait = 0.5
    lines = ["pool.max_idle = 0", 'socket.close = "graceful"', f'pool.wait_timeout = "{wait * 1000:.0f}ms"']
    told = f"source.nat = {_nat(nat_ports, 350)}"
    plans = [
        trial.Plan(subject, Load(rate, seconds), ports, nat_ports, manners=Manners(delay=delay))
        for subject in (millpond("none", "", *lines), millpond("told", "", *lines, told))
    ]
    results = trial.run(*plans)
    outcome.tables.append((_SMALL_HEAD, [_small_row(result) for result in results]))
    outcome.data += [facts(result) for result in results]
    outcome.notes += [f"{r.plan.subject.name}: failed: {states(r.tally.failures)}" for r in results]
    tally, limit = results[1].tally, delay + wait + _PROMPT_SECONDS
    outcome.conditions = {
        "told: no failure but 503": tally.failed() == _refused(tally),
        f"told: every answer within {limit} s ({tally.slowest():.2f} s)": tally.slowest() <= limit,
        f"told: the NAT has a port left at any time ({results[1].most_taken()} of {nat_ports} taken)": (
            results[1].most_taken() < nat_ports
        ),
    }
    return outcome


def silent(options):
    """A NAT that forgets a flow after two seconds of silence and drops what still comes of it."""
    seconds = 8 if options.quick else 20
    outcome = Outcome(
        "silent-nat",
        f"a request every {_IDLE_SECONDS + 0.5} s for {seconds} s through a NAT that forgets a connection "
        f"after {_IDLE_SECONDS} s of silence, and then drops what comes of it without a word",
    )
    kept = f'socket.user_timeout = "{_USER_TIMEOUT_SECONDS}s"'
    nat = f"source.nat = {_nat(64, _IDLE_SECONDS)}"
    subjects = [
        millpond("kept for longer", "", kept, 'pool.idle_timeout = "30s"'),
        millpond("told of the NAT", "", kept, nat),
    ]
    load = Load(1 / (_IDLE_SECONDS + 0.5), seconds)
    plans = [trial.Plan(subject, load, ports=64, nat_idle=_IDLE_SECONDS) for subject in subjects]
    results = trial.run(*plans)
    outcome.tables.append((_SILENT_HEAD, [_silent_row(result) for result in results]))
    outcome.data += [facts(result) for result in results]
    kept, told = results
    limit = _USER_TIMEOUT_SECONDS + _FIRST_AGAIN_SECONDS + _PROMPT_SECONDS
    waited = f"{kept.tally.slowest():.2f} s, where user_timeout is {_USER_TIMEOUT_SECONDS} s"
    outcome.conditions = {
        "kept for longer: no request fails": kept.tally.failed() == 0,
        f"kept for longer: every answer within {limit} s ({waited})": kept.tally.slowest() <= limit,
        "told of the NAT: no request fails": told.tally.failed() == 0,
        "told of the NAT: no request is sent again": _retries(told) == 0,
        f"told of the NAT: every answer within {_PROMPT_SECONDS} s ({told.tally.slowest():.2f} s)": (
            told.tally.slowest() <= _PROMPT_SECONDS
        ),
    }
    return outcome


def _small_row(result):
    tally = result.tally
    return [
        result.plan.subject.name,
        tally.served,
        _refused(tally),
        tally.failed() - _refused(tally),
        f"{tally.slowest():.2f}",
        states(result.tracked),
    ]


def _silent_row(result):
    tally = result.tally
    return [
        result.plan.subject.name,
        tally.served,
        tally.failed(),
        _retries(result),
        f"{tally.slowest():.2f}",
        result.opened,
    ]


def _refused(tally):
    """Requests that were answered with 503, of whatever reason: for want of a port, or of a connection."""
    return sum(count for failure, count in tally.failures.items() if failure.startswith("503"))


def _nat(ports, idle_seconds):
    times = f'idle_timeout = "{idle_seconds}s", time_wait = "{network.TIME_WAIT_SECONDS}s"'
    return f"{{ ports = {ports}, {times} }}"


def _retries(result):
    return result.statistics["upstreams"][0]["endpoints"][0]["retries_total"]
