"""Processes that are started pinned, watched while they run, and always ended."""

import ctypes
import errno
import json
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import time

from . import procfs

READY_SECONDS = 10
STOP_SECONDS = 10
PR_SET_PDEATHSIG = 1
# Ports that were returned by `free_port`.
_given = set()

_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A process did not do what it was started for; the message says which and how."""


def prepare():
    """Makes SIGTERM end this program like an exception does, so that what it started is ended too, and
    raises the limit on descriptors to what may be had."""

    def stop(*_):
        sys.exit("stopped by SIGTERM")

    signal.signal(signal.SIGTERM, stop)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port():
    """A loopback port that nothing listens on now, that no connection is given by the kernel, and that was
    not returned before."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = map(int, file.read().split())
    while True:
        port = random.choice([*range(10_000, first), *range(last + 1, 65_536)] or [0])
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                port = probe.getsockname()[1]
                if port not in _given:
                    _given.add(port)
                    return port
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise


class Process:
    """A process for the time of a `with` block; its messages go to a file in `directory`."""

    def __init__(self, name, command, directory, cpu=None, port=None):
        self.name = name
        self._log_path = f"{directory}/{name}.log"
        self._log = open(self._log_path, "wb")
        self._ended = False
        # When it was started, on the monotonic clock.
        self.began = time.monotonic()
        try:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                preexec_fn=lambda: _in_child(cpu),
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._log.close()
            raise Failed(f"{name} cannot be started: {error}") from error
        try:
            if port is not None:
                self._wait_listening(port)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def pids(self):
        return procfs.family(self._process.pid)

    def read_json(self, seconds):
        """The next line that the process prints; fails if it ends without one or is silent for longer."""
        line = _read_line(self._process.stdout, seconds)
        if not line:
            raise Failed(f"{self.name} said nothing for {seconds:.0f} s: {self._last_words()}")
        return json.loads(line)

    def is_running(self):
        return self._process.poll() is None

    def signal(self, number):
        self._process.send_signal(number)

    def close_stdin(self):
        self._process.stdin.close()
        self._process.stdin = None

    def stop(self):
        """Ends the process and all that it started, and returns what it still printed."""
        if self._ended:
            return ""
        self._ended = True
        family = [(pid, procfs.start_time(pid)) for pid in self.pids()]
        self._process.terminate()
        try:
            output, _ = self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            output = b""
        finally:
            for pid, started in family:
                if started is not None and procfs.start_time(pid) == started:
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            self._process.stdout.close()
            self._log.close()
        return output.decode(errors="replace")

    def said(self):
        """What the process has written to its log so far."""
        with open(self._log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _wait_listening(self, port):
        deadline = time.monotonic() + READY_SECONDS
        while not procfs.is_listening(port):
            if self._process.poll() is not None:
                raise Failed(
                    f"{self.name} ended with status {self._process.returncode}: {self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise Failed(f"{self.name} does not listen after {READY_SECONDS} s: {self._last_words()}")
            time.sleep(0.02)

    def _last_words(self):
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        return " / ".join(lines[-3:]) or "no message"


def _in_child(cpu):
    # The child ends with this program, even if that is killed.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def _read_line(stream, seconds):
    """One line of a pipe, or what there is of it when the time is over."""
    deadline = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        left = max(0, deadline - time.monotonic())
        if not select.select([stream], [], [], left)[0]:
            break
        byte = os.read(stream.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode(errors="replace").strip()
