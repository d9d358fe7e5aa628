#!/usr/bin/env python3
"""Sockets to be held: connections within this host, both ends here, or clients of a server that have had
one answer each. Says when they are there, and holds them until its standard input ends.

    pairs.py pairs COUNT ADDRESS PORT      connections from ADDRESS to ADDRESS:PORT
    pairs.py clients COUNT ADDRESS PORT    clients from ADDRESS of 127.0.0.1:PORT
"""

import json
import resource
import socket
import struct
import sys

# bind(2) then takes the address alone, so that connect(2) may give a port that others have. ip(7)
IP_BIND_ADDRESS_NO_PORT = 24
REQUEST = b"GET / HTTP/1.1\r\nHost: bench.local\r\n\r\n"
# As many requests at once.
BATCH = 100


def main():
    kind, count, address, port = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = {"pairs": pairs, "clients": clients}[kind](int(count), address, int(port))
    print(json.dumps({"ready": len(held)}), flush=True)
    sys.stdin.read()


def pairs(count, address, port):
    listener = socket.create_server((address, port), backlog=BATCH)
    held = [listener]
    for _ in range(count):
        held.append(connect(address, listener.getsockname()))
        held.append(listener.accept()[0])
    return held


def clients(count, address, port):
    held = []
    while len(held) < count:
        batch = [connect(address, ("127.0.0.1", port)) for _ in range(min(BATCH, count - len(held)))]
        for client in batch:
            client.sendall(REQUEST)
        for client in batch:
            answer = client.recv(4096)
            if not answer.startswith(b"HTTP/1.1 200 "):
                sys.exit(f"client {len(held)} and those after it: {answer[:200]!r}")
        held += batch
    return held


def connect(address, to):
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    # All at once end by reset, which leaves nothing behind.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.settimeout(20)
    made.bind((address, 0))
    made.connect(to)
    return made


if __name__ == "__main__":
    main()
