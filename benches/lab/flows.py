"""Bytes that a subject carries in TCP, as fast as both ends can read them."""

from . import tools
from .processes import Failed

# Both ends read as fast as they can, through sockets as the kernel makes them.
PACE = ["--wide", "--pause-ms", 0, "--step", 256 * 1024]
RUN_SECONDS = 120


def backend(directory, cpu=None):
    return tools.StreamBackend(directory, "tcp", PACE, cpu)


def carry(directory, subject, count, way, size, cpu=None):
    """Sends `size` bytes "up" or "down" in `count` flows, all together, and fails if one byte is wrong."""
    sizes = {"up": 0, "down": 0, way: size}
    words = ["--sessions", count, "--up", sizes["up"], "--down", sizes["down"], *PACE, "--fin-last"]
    result = tools.stream(directory, subject.port, "tcp", words, RUN_SECONDS, cpu)
    if result["failed"] or result["wrong_bytes"]:
        raise Failed(
            f"{subject.name}: {result['failed']} flows failed, {result['wrong_bytes']} wrong bytes"
        )
    return result
