"""What millpond has behind it in a soak: backends that do as they should, and one that does not."""

import asyncio
import contextlib
import random

from . import wire

# What a client may be shown of the faulty backend: its own answer, or millpond's word for what went wrong.
FAULTS = ["close", "reset", "half_head", "half_body", "silence", "garbage", "extra", "late_close"]


class Backend:
    """An asyncio server on a port of its own that can be stopped and started again."""

    def __init__(self, serve):
        self._serve, self._server, self._open = serve, None, set()
        self.port = wire.free_port()

    async def start(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=512)

    async def stop(self):
        """Stops listening and resets whoever is there, as the end of a process does."""
        self._server.close()
        for writer in list(self._open):
            wire.reset(writer)

    async def _accept(self, reader, writer):
        self._open.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


async def http(reader, writer):
    """Answers each request with its target and the length of its body; /bytes/N with N bytes; an upgrade with
    an echo of what follows."""
    while head := await wire.read_head(reader):
        body = await wire.read_body(reader, head)
        if head.field("upgrade"):
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            return await echo(reader, writer)
        if head.target.startswith("/bytes/"):
            answer = wire.pattern(int(head.target.removeprefix("/bytes/")))
        else:
            answer = f"{head.target} {len(body)}".encode()
        writer.write(wire.response(answer))
        await writer.drain()


async def echo(reader, writer):
    """Sends back what comes, and FIN after FIN."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    with contextlib.suppress(OSError):
        await writer.drain()


async def faulty(reader, writer):
    """A backend that fails in one of its ways at every other request."""
    while head := await wire.read_head(reader):
        await wire.read_body(reader, head)
        answer = wire.response(head.target.encode())
        fault = random.choice(FAULTS) if random.random() < 0.5 else None
        if not await _fail(fault, answer, writer):
            return
        await writer.drain()


async def _fail(fault, answer, writer):
    """Whether the connection goes on."""
    if fault is None:
        writer.write(answer)
        return True
    if fault in ("half_head", "half_body"):
        writer.write(answer[: 20 if fault == "half_head" else -1])
        await writer.drain()
        return False
    if fault == "reset":
        wire.reset(writer)
    elif fault == "silence":
        await asyncio.sleep(3)
    elif fault == "garbage":
        writer.write(b"\x16\x03\x01 is not HTTP\r\n\r\n")
    elif fault == "extra":
        writer.write(answer + wire.response(b"somebody else's"))
        return True
    elif fault == "late_close":
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(random.random() * 0.02)
    return False
