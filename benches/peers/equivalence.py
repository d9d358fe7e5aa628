"""Whether the subjects do the same: a connection used again, the client's address passed on, a body whole."""

import socket
import threading
from contextlib import closing

from lab import command, subjects, turns
from lab.processes import Failed

from . import web
from .verdict import FLOOR

SECONDS = 10
BODY = b"whole"
BEFORE = "192.0.2.9"
REQUESTS = 10
# A client may have its answer a moment before the connection is back in the pool.
CONNECTIONS_AT_MOST = 3


class Witness:
    """An origin that keeps what it was sent, by connection."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        # The heads that came over each connection.
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        # Wakes the thread that waits for the next connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            heads = []
            self.connections.append(heads)
            threading.Thread(target=self._serve, args=(connection, heads), daemon=True).start()

    @staticmethod
    def _serve(connection, heads):
        with connection, connection.makefile("rb") as lines:
            while head := read_head(lines):
                heads.append(head)
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
                connection.sendall(answer)


def check(names, directory):
    """{name: why it cannot be compared} of those that do not do what the others do."""
    wanted = [name for name in names if name in web.NAMES and name != FLOOR]
    unlike = {}
    for name in command.installed(wanted)[0]:
        turns.progress(f"is {name} like the others?")
        try:
            _look(name, directory)
        except (Failed, OSError) as failure:
            unlike[name] = str(failure)
    turns.progress("")
    return unlike


def _look(name, directory):
    with closing(Witness()) as witness:
        with subjects.Subject(name, directory, witness.port) as subject:
            for _ in range(REQUESTS):
                ask(subject.port)
        differences = judge(witness.connections)
    if differences:
        raise Failed(f"{name}: {'; '.join(differences)}")


def ask(port):
    """One request, from a client that closes after it; fails if the answer is not whole."""
    request = f"GET / HTTP/1.1\r\nHost: bench.local\r\nX-Forwarded-For: {BEFORE}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        client.sendall(request.encode())
        with client.makefile("rb") as lines:
            head = read_head(lines)
            length = int(dict(fields(head)).get("content-length", 0))
            body = lines.read(length)
    if not head.startswith(b"HTTP/1.1 200 ") or body != BODY:
        raise Failed(f"an answer is wrong: {head[:80]!r} {body!r}")


def judge(connections):
    """What is different from what was agreed, in the heads that the origin was sent by connection."""
    differences = []
    used = [heads for heads in connections if heads]
    heads = [head for each in used for head in each]
    if len(heads) != REQUESTS:
        differences.append(f"{len(heads)} requests came of {REQUESTS}")
    if len(used) > CONNECTIONS_AT_MOST:
        differences.append(f"{REQUESTS} requests one after the other took {len(used)} connections")
    for head in heads:
        values = [value for name, value in fields(head) if name == "x-forwarded-for"]
        hops = [hop.strip() for value in values for hop in value.split(",")]
        # Envoy has an address of the host for clients on loopback.
        if len(hops) != 2 or hops[0] != BEFORE:
            differences.append(f"X-Forwarded-For came as {values}")
            break
    return differences


def fields(head):
    """(name in small letters, value) of each field."""
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            yield name.lower(), value.strip()


def read_head(lines):
    """All up to an empty line; nothing at the end of the connection."""
    head = b""
    try:
        for line in lines:
            if line == b"\r\n":
                return head
            head += line
    except OSError:
        pass
    return b""
