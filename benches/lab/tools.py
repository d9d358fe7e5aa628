"""The programs of benches/tools, started for the measuring commands."""

from . import build
from .processes import Failed, Process, free_port

# Beyond the time that a program sets itself; past it something hangs.
GRACE_SECONDS = 30


class Origin(Process):
    """The cheap origin; `stop` returns its counters as JSON."""

    def __init__(self, directory, body=128, cpu=None, more=()):
        self.port = free_port()
        command = [build.binary("origin"), "--listen", f"127.0.0.1:{self.port}", "--body", body, *more]
        super().__init__("origin", command, directory, cpu, self.port)


class Load(Process):
    """Clients that send requests one after the other."""

    def __init__(self, directory, port, options, seconds, cpu=None):
        self._seconds = seconds
        target = ["--target", f"127.0.0.1:{port}", "--seconds", seconds]
        super().__init__("load", [build.binary("load"), *target, *options], directory, cpu)

    def result(self):
        """Waits for the end of the load."""
        return self.read_json(self._seconds + GRACE_SECONDS)


def load(directory, port, options, seconds, cpu=None):
    """Runs a load to its end; fails if one answer was wrong."""
    with Load(directory, port, options, seconds, cpu) as clients:
        result = clients.result()
    if result["errors"] or not result["requests"]:
        raise Failed(f"{result['errors']} of the load's requests failed: {result['error_kinds']}")
    return result


class Idle(Process):
    """Clients that hold their connections silent."""

    def __init__(self, directory, port, clients, hold):
        target = ["--target", f"127.0.0.1:{port}", "--clients", clients, "--hold", hold]
        super().__init__("idle", [build.binary("idle"), *target], directory)

    def wait_ready(self, seconds):
        self.read_json(seconds)

    def release(self):
        """Ends the silence and returns how many connections the server had kept."""
        self.close_stdin()
        return self.read_json(GRACE_SECONDS)["still_open"]


class StreamBackend(Process):
    """The backend that reads and writes at the same time, at the pace that the options say."""

    def __init__(self, directory, protocol, pace, cpu=None):
        self.port = free_port()
        command = [build.binary("stream"), "--serve", f"127.0.0.1:{self.port}", "--protocol", protocol]
        super().__init__("backend", [*command, *pace], directory, cpu, self.port)


def stream(directory, port, protocol, options, seconds, cpu=None):
    """Moves bytes both ways to the end, and returns the report, be it good or bad."""
    command = [build.binary("stream"), "--target", f"127.0.0.1:{port}", "--protocol", protocol]
    with Process("stream", [*command, *options], directory, cpu) as sessions:
        return sessions.read_json(seconds)
