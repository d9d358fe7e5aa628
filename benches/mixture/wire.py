"""HTTP/1.1 and sockets for the soak, as plainly as they can be done."""

import asyncio
import contextlib
import random
import socket
import struct

from lab.processes import free_port as _free_port

TIMEOUT = 30


class Wrong(Exception):
    """Something came that should not have."""


class Head:
    """The head of a message: the words of its first line, and its fields by their names in lower case."""

    def __init__(self, text):
        first, *lines = text.split("\r\n")
        self.words = first.split(" ", 2)
        self._fields = {}
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            self._fields[name.strip().lower()] = value.strip()

    def field(self, name):
        return self._fields.get(name)

    @property
    def target(self):
        return self.words[1]

    @property
    def status(self):
        return int(self.words[1])


class Connection:
    """A client's connection; whatever it waits for has a deadline."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port, buffer=65536):
        opening = asyncio.open_connection("127.0.0.1", port, limit=max(buffer, 65536))
        return cls(*await within(opening))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        with contextlib.suppress(OSError):
            await within(self.writer.wait_closed())

    async def send(self, data):
        self.writer.write(data)
        await within(self.writer.drain())

    async def response(self):
        """The next response: its head and its body."""
        head = await within(read_head(self.reader))
        if head is None:
            raise EOFError("closed instead of a response")
        return head, await within(read_body(self.reader, head))

    async def rest(self):
        """All until the other side's FIN."""
        return await within(self.reader.read())

    async def exactly(self, count):
        return await within(self.reader.readexactly(count))

    def half_close(self):
        self.writer.write_eof()

    def reset(self):
        reset(self.writer)


async def within(awaitable, seconds=TIMEOUT):
    return await asyncio.wait_for(awaitable, seconds)


async def read_head(reader):
    """The next head; `None` at the end of the connection."""
    try:
        text = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise EOFError("closed in the middle of a head") from end
        return None
    return Head(text.decode("latin-1"))


async def read_body(reader, head):
    if (head.field("transfer-encoding") or "").lower() == "chunked":
        return await _read_chunks(reader)
    return await reader.readexactly(int(head.field("content-length") or 0))


async def _read_chunks(reader):
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


def request(target, method="GET", fields="", body=b""):
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}{fields}\r\n".encode() + body


def response(body):
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(body, size=5000):
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def pattern(count):
    return (bytes(range(251)) * (count // 251 + 1))[:count]


def random_bytes(count):
    return random.randbytes(count)


def reset(writer):
    """Closes with RST, whatever is outstanding (SO_LINGER with a time of 0, socket(7))."""
    peer = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def free_port():
    return _free_port()
