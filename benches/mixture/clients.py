"""The clients of a soak: each function is one of them, from its connect to its end. What it must not see
raises."""

import asyncio
import itertools
import json
import random

from .wire import Connection, Wrong, chunked, pattern, random_bytes, request, within

_numbers = itertools.count()


def target():
    """A target that no other request has."""
    return f"/item/{next(_numbers)}"


def expect(got, wanted):
    if got != wanted:
        raise Wrong(f"{got[:80]!r} instead of {wanted[:80]!r}")


def expect_answer(answer, wanted):
    head, body = answer
    if head.status != 200:
        raise Wrong(f"{head.status} {head.field('x-millpond-reason')} instead of an answer")
    expect(body, wanted)


async def keep_alive(ports):
    async with await Connection.to(ports.web) as client:
        for _ in range(20):
            path = target()
            await client.send(request(path))
            expect_answer(await client.response(), f"{path} 0".encode())
            await asyncio.sleep(random.random() * 0.05)


async def reconnecting(ports):
    for _ in range(10):
        async with await Connection.to(ports.web) as client:
            path = target()
            await client.send(request(path, fields="Connection: close\r\n"))
            expect_answer(await client.response(), f"{path} 0".encode())
            expect(await client.rest(), b"")


async def pipeline(ports):
    async with await Connection.to(ports.web) as client:
        paths = [target() for _ in range(8)]
        await client.send(b"".join(request(path, "POST", body=b"12345") for path in paths))
        for path in paths:
            expect_answer(await client.response(), f"{path} 5".encode())


async def upload(ports):
    async with await Connection.to(ports.web) as client:
        for form in ("length", "chunked"):
            path, body = target(), random_bytes(random.randrange(1, 500_000))
            if form == "length":
                await client.send(request(path, "POST", body=body))
            else:
                await client.send(request(path, "POST", "Transfer-Encoding: chunked\r\n") + chunked(body))
            expect_answer(await client.response(), f"{path} {len(body)}".encode())


async def slow_writer(ports):
    async with await Connection.to(ports.web) as client:
        path = target()
        for byte in request(path, "POST", body=b"slowly"):
            await client.send(bytes([byte]))
            await asyncio.sleep(0.01)
        expect_answer(await client.response(), f"{path} 6".encode())


async def slow_reader(ports):
    size = 1_500_000
    async with await Connection.to(ports.web) as client:
        await client.send(request(f"/bytes/{size}"))
        got = b""
        while b"\r\n\r\n" not in got or len(got.split(b"\r\n\r\n", 1)[1]) < size:
            await asyncio.sleep(0.02)
            part = await within(client.reader.read(40_000))
            if not part:
                raise Wrong(f"a response of {size} bytes ended after {len(got)}")
            got += part
        expect(got.split(b"\r\n\r\n", 1)[1], pattern(size))


async def aborting(ports):
    """Leaves in one of the ways in which clients leave, at a moment when they do."""
    client = await Connection.to(ports.web)
    moment = random.randrange(5)
    if moment == 1:
        await client.send(b"GET / HTTP/1.1\r\nHo")
    elif moment == 2:
        await client.send(request(target()))
    elif moment == 3:
        await client.send(request("/bytes/2000000"))
        await client.exactly(1000)
    elif moment == 4:
        await client.send(request(target(), "POST", body=b"x" * 1000)[:-500])
    await asyncio.sleep(random.random() * 0.05)
    if random.random() < 0.5:
        client.reset()
    else:
        client.writer.close()


async def upgraded(ports):
    async with await Connection.to(ports.web) as client:
        await client.send(request("/echo", fields="Connection: upgrade\r\nUpgrade: echo\r\n"))
        head = (await client.response())[0]
        if head.status != 101:
            raise Wrong(f"{head.status} instead of 101")
        for _ in range(5):
            message = random_bytes(random.randrange(1, 5000))
            await client.send(message)
            expect(await client.exactly(len(message)), message)
        client.half_close()
        expect(await client.rest(), b"")


async def tunnel(ports):
    """Sends all, then FIN, and reads all after that."""
    data = random_bytes(random.randrange(1, 300_000))
    async with await Connection.to(ports.tcp) as client:
        received = asyncio.create_task(client.rest())
        await client.send(data)
        client.half_close()
        expect(await received, data)


async def idle_tunnel(ports):
    async with await Connection.to(ports.tcp) as client:
        for _ in range(4):
            await client.send(b"ping")
            expect(await client.exactly(4), b"ping")
            await asyncio.sleep(random.random())
        client.reset()


# What millpond says when the backend behind it fails.
FAILED = {502, 503, 504}


async def of_faulty_backend(ports):
    """Gets its own answer, or is told that there is none, or sees a response break off: never another's."""
    async with await Connection.to(ports.faulty) as client:
        for _ in range(5):
            path = target()
            await client.send(request(path))
            try:
                head, body = await client.response()
            except (EOFError, ConnectionError):
                # A response that had begun cannot be taken back.
                return
            if head.status == 200:
                expect(body, path.encode())
            elif head.status not in FAILED:
                raise Wrong(f"{head.status} of a backend that fails")
            if head.field("connection") == "close":
                return


async def admin(ports):
    """Reads what a monitoring system and a person at a dashboard read."""
    path = random.choice(["/stats", "/metrics", "/connections?limit=50", "/", "/config", "/readyz"])
    async with await Connection.to(ports.admin, 4 << 20) as client:
        await client.send(request(path, fields="Connection: close\r\n"))
        head, body = await client.response()
        if head.status != 200:
            raise Wrong(f"{head.status} of {path}")
        if path == "/stats":
            json.loads(body)
    async with await Connection.to(ports.admin, 4 << 20) as client:
        await client.send(request("/events"))
        await client.exactly(100)
    await asyncio.sleep(0.2)


# How many of each there are at once.
MIX = {
    keep_alive: 10,
    reconnecting: 3,
    pipeline: 2,
    upload: 2,
    slow_writer: 3,
    slow_reader: 3,
    aborting: 4,
    upgraded: 2,
    tunnel: 2,
    idle_tunnel: 5,
    of_faulty_backend: 4,
    admin: 1,
}
