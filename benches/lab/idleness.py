"""What idle keep-alive clients cost a subject in memory."""

import time

from . import procfs, subjects, tools
from .processes import Failed

# A subject has settled when its memory is the same for so long, give or take 8 bytes for each of 8,000 clients.
STILL_SECONDS = 2
STILL_BYTES = 64 * 1024
SETTLE_SECONDS = 20
# For all clients of a batch to get their answers.
OPEN_SECONDS = 120


def take(name, directory, count, first):
    """Opens `first` clients and then `count` more, each with one request; what the latter took."""
    hold = 2 * (SETTLE_SECONDS + OPEN_SECONDS)
    with (
        tools.Origin(directory) as origin,
        subjects.Subject(name, directory, origin.port) as subject,
    ):
        at_start = settled(subject)
        with tools.Idle(directory, subject.port, first, hold) as earlier:
            earlier.wait_ready(OPEN_SECONDS)
            before = settled(subject)
            with tools.Idle(directory, subject.port, count, hold) as clients:
                clients.wait_ready(OPEN_SECONDS)
                after = settled(subject)
                kept = clients.release()
            kept += earlier.release()
    if kept != count + first:
        raise Failed(f"{name} closed {count + first - kept} of the idle connections")
    return {
        "bytes_per_client": (after - before) / count,
        "at_start_bytes": at_start,
        "before_bytes": before,
        "after_bytes": after,
    }


def settled(subject):
    """The subject's resident bytes once they no longer change, or at the latest after SETTLE_SECONDS."""
    pids = subject.pids()
    deadline = time.monotonic() + SETTLE_SECONDS
    size, since = procfs.resident_bytes(pids), time.monotonic()
    while time.monotonic() < min(deadline, since + STILL_SECONDS):
        time.sleep(0.1)
        now = procfs.resident_bytes(pids)
        if abs(now - size) > STILL_BYTES:
            size, since = now, time.monotonic()
    return procfs.resident_bytes(pids)
