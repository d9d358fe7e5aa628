"""The proxies, each in the ways in which it may treat the connections to its backend."""

import json
import re
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from lab import procfs, subjects
from lab.processes import Failed, Process

from . import network

_CONFIGS = Path(__file__).resolve().parent / "configs"
# As configs/millpond.toml has it, in the proxy's namespace.
_ADMIN = "http://127.0.0.1:9900"
_WORDS = re.compile("@[A-Z]+@")


@dataclass(frozen=True)
class Subject:
    """A proxy and its configuration."""

    name: str
    program: str
    # What it does with connections to the backend, for the reader.
    title: str
    # For the words of its file in configs/.
    words: dict = field(default_factory=dict)

    def installed(self):
        return subjects.executable(self.program) is not None

    def version(self):
        return subjects.version(self.program)


def millpond(name, title, *upstream, protocol="http", workers=1):
    """millpond with these lines in its upstream."""
    words = {"UPSTREAM": "\n".join(upstream), "PROTOCOL": protocol, "WORKERS": workers}
    return Subject(name, "millpond", title, words)


def _nginx(name, title, upstream, location):
    return Subject(name, "nginx", title, {"UPSTREAM": upstream, "LOCATION": location})


def _haproxy(name, title, defaults, reuse):
    return Subject(name, "haproxy", title, {"DEFAULTS": defaults, "REUSE": reuse})


COMPARED = [
    # As it comes but for this: the run is short, and none that is kept is to end in it.
    millpond("millpond", 'pooled, pool.idle_timeout = "30s"', 'pool.idle_timeout = "30s"'),
    millpond("millpond-single", "pool.max_idle = 0: each connection serves one request", "pool.max_idle = 0"),
    millpond(
        "millpond-fin",
        'the same with socket.close = "graceful": by FIN, and by RST once ports are scarce',
        "pool.max_idle = 0",
        'socket.close = "graceful"',
    ),
    _nginx("nginx", "as it comes: HTTP/1.0, one request each", "", ""),
    _nginx(
        "nginx-keepalive",
        "keepalive 32, proxy_http_version 1.1",
        "keepalive 32;",
        'proxy_http_version 1.1; proxy_set_header Connection "";',
    ),
    _haproxy("haproxy", "as it comes: http-reuse safe", "", ""),
    _haproxy("haproxy-always", "http-reuse always", "", "http-reuse always"),
    _haproxy("haproxy-close", "option httpclose: one request each", "option httpclose", ""),
]


class Running(Process):
    """A subject in the proxy's namespace, for the time of a `with` block."""

    def __init__(self, subject, net, directory):
        self.subject = subject
        self._net = net
        words = {
            "LISTEN": f"{network.PROXY}:{network.PORT}",
            "BACKEND": f"{network.BACKEND}:{network.PORT}",
            "DIRECTORY": directory,
        }
        command = _command(subject, directory, words | subject.words)
        with net.proxy:
            super().__init__(subject.name, command, directory, port=network.PORT)

    def cpu_seconds(self):
        return procfs.exact_cpu_seconds(self.pids())

    def address_not_available(self):
        """How often connect(2) answered EADDRNOTAVAIL: millpond counts it, the others log it."""
        if self.subject.program == "millpond":
            return self._counted("millpond_source_ports_unavailable_total")
        line = {
            "nginx": r"\(99: .*\) while connecting to upstream",
            "haproxy": r"Connect\(\) failed for backend .*: no free ports",
        }[self.subject.program]
        return len(re.findall(line, self.said()))

    def statistics(self):
        """millpond's `GET /stats`."""
        return json.loads(self._get("/stats"))

    def _counted(self, metric):
        """A counter of millpond's, added up over its labels."""
        lines = self._get("/metrics").splitlines()
        values = [line.rsplit(" ", 1)[1] for line in lines if re.match(metric + "[{ ]", line)]
        if not values:
            raise Failed(f"millpond's /metrics has no {metric}")
        return sum(int(float(value)) for value in values)

    def _get(self, path):
        try:
            with self._net.proxy, urllib.request.urlopen(f"{_ADMIN}{path}", timeout=10) as answer:
                return answer.read().decode()
        except (OSError, ValueError) as error:
            raise Failed(f"millpond's {path} cannot be read: {error!r}") from error


def _command(subject, directory, words):
    program = subjects.executable(subject.program)
    if subject.program == "millpond":
        return [program, "run", "-c", _configuration("millpond.toml", directory, words)]
    if subject.program == "nginx":
        file = _configuration("nginx.conf", directory, words)
        return [program, "-p", directory, "-e", "stderr", "-c", file]
    return [program, "-db", "-f", _configuration("haproxy.cfg", directory, words)]


def _configuration(template, directory, words):
    text = (_CONFIGS / template).read_text(encoding="utf-8")
    text = _WORDS.sub(lambda word: str(words.get(word.group().strip("@"), word.group())), text)
    path = f"{directory}/{template}"
    Path(path).write_text(text, encoding="utf-8")
    return path
