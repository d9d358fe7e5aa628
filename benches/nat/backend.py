"""The backend: answers every request alike, and closes connections as it is told to."""

import asyncio
import socket
from dataclasses import dataclass

from . import network

_BODY = b"abcdefghijklmnopqrstuvwxyz\n"
_LENGTH = b"Content-Length: %d\r\n" % len(_BODY)
_KEEP = b"HTTP/1.1 200 OK\r\n" + _LENGTH + b"\r\n" + _BODY
_LAST = b"HTTP/1.1 200 OK\r\n" + _LENGTH + b"Connection: close\r\n\r\n" + _BODY


@dataclass(frozen=True)
class Manners:
    """How the backend treats its connections."""

    # Before each answer, in seconds.
    delay: float = 0.0
    # Closes a connection with this answer on it; 0: never.
    close_after: int = 0
    # Whether `Connection: close` stands in the answer that is the last.
    announced: bool = True
    # Closes a connection that was silent for so many seconds; 0: never.
    close_idle: float = 0.0


class Backend:
    """A backend in a network, for the time of an `async with` block."""

    def __init__(self, net, manners):
        self.manners = manners
        self.accepted = 0
        self.requests = 0
        self._net = net
        self._connections = set()
        self._server = None

    async def __aenter__(self):
        with self._net.backend:
            listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((network.BACKEND, network.PORT))
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), sock=listener, backlog=4096)
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()
        # An aborted connection is closed in the loop's next turn.
        await asyncio.sleep(0)

    def opened(self, connection):
        self.accepted += 1
        self._connections.add(connection)

    def lost(self, connection):
        self._connections.discard(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, backend):
        self._backend = backend
        self._manners = backend.manners
        self._loop = asyncio.get_running_loop()
        self._transport = None
        self._received = b""
        self._answered = 0
        self._asked_to_close = False
        self._silence = None

    def connection_made(self, transport):
        self._transport = transport
        self._backend.opened(self)
        self._begin_silence()

    def connection_lost(self, _error):
        self._end_silence()
        self._backend.lost(self)

    def data_received(self, data):
        self._end_silence()
        self._received += data
        while True:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            self._received = rest
            lines = head.lower().split(b"\r\n")
            self._asked_to_close |= lines[0].endswith(b"http/1.0") or b"connection: close" in lines
            if self._manners.delay:
                self._loop.call_later(self._manners.delay, self._answer)
            else:
                self._answer()

    def abort(self):
        self._transport.abort()

    def _answer(self):
        if self._transport.is_closing():
            return
        self._answered += 1
        self._backend.requests += 1
        last = self._answered == self._manners.close_after
        announced = self._asked_to_close or (last and self._manners.announced)
        self._transport.write(_LAST if announced else _KEEP)
        if last or announced:
            self._transport.close()
        else:
            self._begin_silence()

    def _begin_silence(self):
        if self._manners.close_idle:
            self._end_silence()
            self._silence = self._loop.call_later(self._manners.close_idle, self._transport.close)

    def _end_silence(self):
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
