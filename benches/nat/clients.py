"""The clients: requests at a steady rate, whatever becomes of those before."""

import asyncio
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

from . import network

# A request without an answer for so long has failed.
PATIENCE_SECONDS = 10
# Requests under way at once; what would come on top is counted as failed ("not sent").
_MOST_AT_ONCE = 4000
_TICK_SECONDS = 0.005
_REQUEST = b"GET / HTTP/1.1\r\nHost: lab.example\r\n\r\n"


@dataclass(frozen=True)
class Load:
    """So many requests a second for so many seconds, over connections that are kept, or over one each."""

    rate: float
    seconds: float
    keep: bool = True


@dataclass
class Tally:
    """What became of the requests, each by the second in which it was sent."""

    sent: int = 0
    served: int = 0
    failures: Counter = field(default_factory=Counter)
    # (when it was sent, in seconds; how long it took; why it failed, or None)
    events: list = field(default_factory=list)

    def failed(self):
        return sum(self.failures.values())

    def first_failure(self):
        """When the first request was sent that failed; `None` if none did."""
        return min((sent for sent, _, failure in self.events if failure), default=None)

    def between(self, start, end):
        """(served, failed) of the requests that were sent in this time."""
        failures = [failure is not None for sent, _, failure in self.events if start <= sent < end]
        return len(failures) - sum(failures), sum(failures)

    def slowest(self):
        """The longest that a request took, in seconds."""
        return max((took for _, took, _ in self.events), default=0.0)

    def note(self, sent_at, took, failure):
        self.events.append((sent_at, took, failure))
        if failure is None:
            self.served += 1
        else:
            self.failures[failure] += 1


class Clients:
    """The clients of one proxy."""

    def __init__(self, net, load):
        self.tally = Tally()
        self.began = time.monotonic()
        self._net = net
        self._load = load
        self._idle = []
        self._running = set()

    async def run(self):
        """Sends all requests and waits for their ends."""
        self.began = time.monotonic()
        while (now := self.elapsed()) < self._load.seconds:
            while self.tally.sent < now * self._load.rate:
                self._send()
            await asyncio.sleep(_TICK_SECONDS)
        if self._running:
            await asyncio.wait(self._running)

    def elapsed(self):
        return time.monotonic() - self.began

    async def close(self):
        running = list(self._running)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _send(self):
        self.tally.sent += 1
        if len(self._running) >= _MOST_AT_ONCE:
            self.tally.note(self.elapsed(), 0.0, "not sent")
            return
        task = asyncio.create_task(self._ask())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _ask(self):
        began = self.elapsed()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                failure = await self._exchange()
        except TimeoutError:
            failure = "no answer"
        except ConnectionResetError:
            failure = "reset"
        except OSError as error:
            failure = type(error).__name__
        self.tally.note(began, self.elapsed() - began, failure)

    async def _exchange(self):
        """Why the request failed; `None` if it was served."""
        connection = self._idle.pop() if self._idle else None
        if connection is None or not await connection.send(_REQUEST):
            connection = await self._connect()
            if not await connection.send(_REQUEST):
                return "closed"
        try:
            answer = await connection.answer()
        except BaseException:
            connection.close()
            raise
        if answer is None:
            connection.close()
            return "closed"
        if self._load.keep and not answer.close:
            self._idle.append(connection)
        else:
            connection.close()
        return None if answer.status == "200" else " ".join(filter(None, [answer.status, answer.reason]))

    async def _connect(self):
        with self._net.client:
            plain = socket.socket()
        plain.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(plain, (network.PROXY, network.PORT))
        except BaseException:
            plain.close()
            raise
        return _Connection(plain)


@dataclass(frozen=True)
class _Answer:
    status: str
    reason: str
    close: bool


class _Connection:
    def __init__(self, plain):
        self._socket = plain
        self._loop = asyncio.get_running_loop()

    def close(self):
        self._socket.close()

    async def send(self, request):
        """Whether it could be sent: a connection that was idle may have been closed by the proxy."""
        try:
            if self._at_end():
                raise ConnectionResetError
            await self._loop.sock_sendall(self._socket, request)
            return True
        except ConnectionError:
            self._socket.close()
            return False

    async def answer(self):
        """The answer; `None` when the connection is closed instead."""
        received = b""
        while True:
            data = await self._loop.sock_recv(self._socket, 65536)
            if not data:
                return None
            received += data
            head, end, body = received.partition(b"\r\n\r\n")
            if not end:
                continue
            start, *lines = head.decode("latin-1").split("\r\n")
            pairs = [line.partition(":") for line in lines]
            fields = {name.lower(): value.strip() for name, _, value in pairs}
            if len(body) < int(fields.get("content-length", "0")):
                continue
            close = fields.get("connection", "").lower() == "close"
            return _Answer(start.split()[1], fields.get("x-millpond-reason", ""), close)

    def _at_end(self):
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
