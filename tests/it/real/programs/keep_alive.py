"""400 requests with http.client on one connection, each answer compared with the file."""

import http.client
import pathlib
import sys

port, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])
files = {path.name: path.read_bytes() for path in directory.iterdir()}
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
sockets = set()


def ask(method, path, headers={}):
    connection.request(method, path, headers=headers)
    sockets.add(connection.sock.getsockname())
    response = connection.getresponse()
    return response, response.read()


requests = 0
while requests < 400:
    for name, content in files.items():
        response, body = ask("GET", f"/{name}")
        assert (response.status, body) == (200, content), (name, response.status, len(body))
        tag = response.headers["ETag"]
        response, body = ask("HEAD", f"/{name}")
        assert (response.status, int(response.headers["Content-Length"]), body) == (200, len(content), b"")
        response, body = ask("GET", f"/{name}", {"If-None-Match": tag})
        assert (response.status, body) == (304, b""), (name, response.status, len(body))
        response, body = ask("GET", f"/missing-{name}")
        assert response.status == 404 and b"nginx" in body, (name, response.status)
        requests += 4
print(f"{requests} requests on {len(sockets)} connection" + "s" * (len(sockets) > 1))
