"""Talks to websocket_server.py in the mode that is asked for, and prints what it found."""

import asyncio
import sys
import urllib.request

try:
    import websockets
except ImportError:
    sys.exit("websockets is missing: apt-get install python3-websockets")

port, mode = sys.argv[1:]
URL = f"ws://127.0.0.1:{port}/"
OPTIONS = {"max_size": 2**23, "ping_interval": None, "open_timeout": 20, "close_timeout": 20}
BINARY = bytes(range(256)) * 4096 + b"\x00\xff"
MESSAGES = ["text", "", "ümläut \N{CHESTNUT}", "x" * 125, "x" * 126, "x" * 65536, b"\x00", BINARY]


async def echo():
    async def client(number):
        async with websockets.connect(URL, compression=None, **OPTIONS) as socket:
            for message in MESSAGES:
                await socket.send(message)
                assert await socket.recv() == message
            for pieces in (["fragmented ", "", "text"], [BINARY, b"", BINARY]):
                await socket.send(pieces)
                assert await socket.recv() == pieces[0] + pieces[1] + pieces[2]
            await socket.send("in pieces")
            assert await socket.recv() == "in pieces"
            await asyncio.wait_for(await socket.ping(f"from {number}"), 10)
            await socket.send("ping")
            assert await socket.recv() == "ponged"
        assert socket.close_code == 1000, socket.close_code
        return len(MESSAGES)

    counts = await asyncio.gather(*(client(number) for number in range(20)))
    print(f"{len(counts)} clients, {sum(counts)} messages, closed with 1000")


async def deflate():
    async with websockets.connect(URL, compression="deflate", **OPTIONS) as socket:
        names = ", ".join(extension.name for extension in socket.extensions)
        text = "chestnut" * 375_000
        await socket.send(text)
        assert await socket.recv() == text
        print(f"{names}, {len(text)} characters")


async def close():
    async with websockets.connect(URL, **OPTIONS) as socket:
        await socket.send("close")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            by_server = f"{closed.rcvd.code} {closed.rcvd.reason}"
    socket = await websockets.connect(URL, **OPTIONS)
    await socket.close(1001, "going away")
    print(f"server closed with {by_server}, client closed with {socket.close_code}")


async def idle():
    async with websockets.connect(URL, **OPTIONS) as socket:
        await asyncio.sleep(3)
        await socket.send("awake")
        print(await socket.recv(), "after 3 s")


async def refused():
    try:
        await websockets.connect(URL + "refused", **OPTIONS)
    except websockets.InvalidStatusCode as error:
        status = error.status_code
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/plain", timeout=20) as response:
        assert response.read() == b"plain\n"
        print(f"refused with {status}, then {response.status}")


asyncio.run(globals()[mode]())
