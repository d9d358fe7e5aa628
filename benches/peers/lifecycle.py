"""Scenario l: how long a start and a reload take, with few endpoints and with many."""

import signal
import socket
import time
import urllib.error
import urllib.request

from lab.processes import Failed, free_port

from .clients import PROXIES
from .scenario import Scenario, staged
from .verdict import OWN, Case

COUNTS = (10, 10_000)
DEADLINE_SECONDS = 60
LOOK_SECONDS = 0.001
# Between the first answer and the reload: HAProxy's master replaces itself after its worker has begun to
# serve, and a signal in between is lost.
PAUSE_SECONDS = 0.5
REQUEST = b"GET / HTTP/1.1\r\nHost: bench.local\r\nConnection: close\r\n\r\n"
# What tells them to read their configuration again; Envoy reads its file once, and Pingora has none.
_SIGNALS = {OWN: signal.SIGHUP, "nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2}


def addresses(count):
    """So many addresses of the loopback device."""
    return [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(count)]


def take(name, settings, directory):
    """Starts and reloads; a start is over with the first answer, a reload with the first on a new port."""
    figures = {}
    for count in COUNTS:
        endpoints = addresses(count)
        more = {"endpoints": endpoints, "reloadable": True, "wait": False}
        with staged(name, settings, directory, origin=["--all-loopback"], **more) as (origin, subject):
            wait_answer(subject, subject.port)
            figures[f"l start {count}"] = (time.monotonic() - subject.began) * 1000
            if name in _SIGNALS or name == "caddy":
                time.sleep(PAUSE_SECONDS)
                figures[f"l reload {count}"] = reload(subject, origin.port, endpoints) * 1000
    return figures


def reload(subject, origin, endpoints):
    """The seconds until a new port answers, with a new endpoint as well."""
    port = free_port()
    path = subject.write(origin, [*endpoints, "127.2.0.1"], [*subject.ports, port])
    began = time.monotonic()
    if subject.name in _SIGNALS:
        subject.signal(_SIGNALS[subject.name])
    else:
        _load_caddyfile(subject, path)
    wait_answer(subject, port)
    return time.monotonic() - began


def wait_answer(subject, port):
    """Asks until there is an answer."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not _answers(port):
        if not subject.is_running():
            raise Failed(f"{subject.name} has ended: {subject.said()[-300:]}")
        if time.monotonic() > deadline:
            raise Failed(f"{subject.name} gave no answer in {DEADLINE_SECONDS} s")
        time.sleep(LOOK_SECONDS)


def _answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as client:
            client.sendall(REQUEST)
            return client.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


def _load_caddyfile(subject, path):
    """As `caddy reload` does, without the start of another process."""
    with open(path, "rb") as file:
        request = urllib.request.Request(
            f"http://127.0.0.1:{subject.admin}/load",
            data=file.read(),
            headers={"Content-Type": "text/caddyfile"},
        )
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS):
            pass
    except (urllib.error.URLError, OSError) as error:
        raise Failed(f"caddy did not reload: {error}") from error


SCENARIOS = [
    Scenario(
        "l",
        "start and reload",
        tuple(
            Case(f"l {what} {count}", f"{what} with {count:,} endpoints", "ms", digits=0)
            for what in ("start", "reload")
            for count in COUNTS
        ),
        PROXIES,
        take,
    )
]
