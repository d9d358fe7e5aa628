"""Echoes messages in the pieces that the client asks for; prints its port."""

import asyncio
import http
import sys

try:
    import websockets
except ImportError:
    sys.exit("websockets is missing: apt-get install python3-websockets")


async def echo(socket):
    async for message in socket:
        if message == "close":
            await socket.close(4001, "enough")
        elif message == "ping":
            await asyncio.wait_for(await socket.ping(b"from the server"), 10)
            await socket.send("ponged")
        elif message == "in pieces":
            await socket.send(["in ", "", "pie", "ces"])
        else:
            await socket.send(message)


async def process_request(path, headers):
    if path == "/refused":
        return http.HTTPStatus.FORBIDDEN, [], b"not you\n"
    if path == "/plain":
        return http.HTTPStatus.OK, [], b"plain\n"


async def main():
    options = {"max_size": 2**23, "process_request": process_request, "ping_interval": None}
    async with websockets.serve(echo, "127.0.0.1", 0, **options) as server:
        print(server.sockets[0].getsockname()[1], "listening", flush=True)
        await asyncio.Future()


asyncio.run(main())
