#!/usr/bin/env python3
"""What each thing that millpond holds costs in memory: the terms of the formula in docs/RELIABILITY.md.

For each term millpond is started anew and given a first few of the things, so that what is allocated once is
there; then --count more. The growth between the two, divided by --count, is the cost of one. What the
configuration has (workers, listeners, endpoints, connections kept warm) is compared between two processes
instead. Counted is the proportional set size once it has settled. Pass: no term is more than what the
formula says.
"""

import contextlib
import json
import multiprocessing
import selectors
import socket
import time
import urllib.request

from lab import command, idleness, report, subjects
from lab.processes import Failed, free_port

FIRST = 200
# Connections that are kept warm, and the time for all of them.
WARM, WARM_SECONDS = 400, 90
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# Lines of the access log that wait for being written, and a target nearly as long as one may be.
LINES, TARGET = 4096, 7500
# An upstream with a single connection.
FEW = """
[[upstream]]
name = "few"
endpoints = ["127.0.0.1:BACKEND"]
pool.max_idle = 1
pool.max_connections = 1
pool.wait_timeout = "600s"
pool.wait_queue = QUEUE
timeout.response_header = "600s"
"""
LISTENER = """
[[listener]]
name = "measured"
bind = "127.0.0.1:{port}"
upstream = "{upstream}"
timeout.idle = "600s"
{lines}
"""


def main():
    options = command.parser(__doc__, ["millpond"])
    options.add_argument("--count", type=command.positive, default=2000, help="of each thing (default 2000)")
    options.add_argument("--terms", help="only those with these words in their names, such as tunnel,worker")
    command.run(measure, options.parse_args())


def measure(options, directory):
    rows = []
    for name, bound, take in TERMS:
        if options.terms and not any(word in name for word in options.terms.split(",")):
            continue
        row = {"term": name, "bound": bound, "status": "ok"}
        try:
            row["bytes"] = take(directory, options.count)
            if row["bytes"] > bound:
                row["status"] = "failed: more than the formula says"
        except (Failed, OSError) as failure:
            row["status"] = f"failed: {failure}"
        rows.append(row)
    if options.json:
        report.show_json({"count": options.count, "terms": rows})
    else:
        show(rows)
    return all(row["status"] == "ok" for row in rows)


def show(rows):
    print(f"{report.machine_line()}\n")
    cells, notes = [], []
    for row in rows:
        measured = f"{row['bytes']:,.0f}" if "bytes" in row else ""
        cells.append([row["term"], measured, f"{row['bound']:,}", row["status"].split(":")[0]])
        notes += [f"{row['term']} {row['status']}"] if ":" in row["status"] else []
    print(report.table(["one", "bytes measured", "in the formula", "status"], cells))
    print("".join(f"\n{note}" for note in notes), end="\n" if notes else "")


class Backend:
    """An endpoint in a process of its own that takes everything, and answers each read with `answer`, if any."""

    def __init__(self, answer=None):
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("0.0.0.0", free_port()))
        self._socket.listen(4096)
        self.port = self._socket.getsockname()[1]
        self._process = multiprocessing.Process(target=serve, args=(self._socket, answer), daemon=True)
        self._process.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()
        self._socket.close()


def serve(listening, answer):
    ready = selectors.DefaultSelector()
    ready.register(listening, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            with contextlib.suppress(OSError):
                if key.fileobj is listening:
                    ready.register(listening.accept()[0], selectors.EVENT_READ)
                elif not (data := key.fileobj.recv(1 << 16)):
                    ready.unregister(key.fileobj)
                    key.fileobj.close()
                elif answer:
                    key.fileobj.sendall(answer)
                del key


def connect(port, send=b"", receive=0, address="127.0.0.1"):
    client = socket.socket()
    client.settimeout(10)
    client.bind((address, 0))
    client.connect(("127.0.0.1", port))
    client.sendall(send)
    while receive > 0:
        data = client.recv(receive)
        if not data:
            raise Failed("millpond has closed a client's connection")
        receive -= len(data)
    return client


def growth(directory, count, answer, one, more="", listener=None, upstream="origin", **options):
    """Of one thing: `one` makes it, with the port and its number, and returns what holds it. With lines for
    a `listener` there is one more, and it is that one's port."""
    port = free_port()
    if listener is not None:
        more += LISTENER.format(port=port, lines=listener, upstream=upstream)
    with (
        Backend(answer) as backend,
        subjects.Subject(
            "millpond", directory, backend.port, more=more.replace("BACKEND", str(backend.port)), **options
        ) as subject,
    ):
        port = subject.port if listener is None else port
        held = [one(port, number) for number in range(FIRST)]
        before = idleness.settled(subject)
        held += [one(port, FIRST + number) for number in range(count)]
        after = idleness.settled(subject)
        for client in held:
            # Whatever is counted has to be there still.
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.recv(1)
                raise Failed("millpond has answered, or closed, what was to be counted")
            client.close()
    return (after - before) / count


def difference(directory, times, less, more, warm=0):
    """Of one of `times` things that are in one configuration and not in the other."""
    sizes = []
    for options in (less, more):
        with (
            Backend(RESPONSE) as backend,
            subjects.Subject("millpond", directory, backend.port, **options) as subject,
        ):
            connect(subject.port, REQUEST, len(RESPONSE)).close()
            idleness.settled(subject)
            if warm and options is more:
                wait_for_idle(subject.admin, warm)
            sizes.append(idleness.settled(subject))
    return (sizes[1] - sizes[0]) / times


def wait_for_idle(admin, count):
    """Connections that are to be kept warm are dialled one after the other."""
    idle, end = 0, time.monotonic() + WARM_SECONDS
    while idle < count:
        if time.monotonic() > end:
            raise Failed(f"{idle} connections are idle instead of {count}")
        time.sleep(0.2)
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/stats", timeout=10) as answer:
            [upstream] = json.load(answer)["upstreams"]
        idle = upstream["endpoints"][0]["connections"]["idle"]


def ask(port, _):
    return connect(port, REQUEST)


def ask_and_hear(port, _):
    return connect(port, REQUEST, len(RESPONSE))


def idle_client(directory, count):
    return growth(directory, count, RESPONSE, ask_and_hear)


def silent_client(directory, count):
    """One that has not said anything yet."""
    patience = 'timeout.header = "600s"'
    return growth(directory, count, None, lambda port, _: connect(port), listener=patience)


def in_flight(directory, count):
    """A client, its request, and its connection to an endpoint that does not answer."""
    return growth(directory, count, None, ask, more='[upstream.timeout]\nresponse_header = "600s"\n')


def waiting(directory, count):
    """A client whose request waits for a connection."""
    few = FEW.replace("QUEUE", str(2 * (FIRST + count)))
    return growth(directory, count, None, ask, more=few, listener="", upstream="few")


def tunnel(directory, count):
    """Both connections of a TCP session in which bytes have gone both ways."""
    return growth(directory, count, b"yes", lambda port, _: connect(port, b"ready?", 3), protocol="tcp")


def pooled(directory, count):
    # They are dialled at their own pace.
    count = min(count, WARM)
    return difference(directory, count, {}, {"more": f"min_idle = {count}\n"}, warm=count)


def endpoint(directory, _):
    return of_endpoints(directory, 1)


def endpoint_of_a_worker(directory, _):
    return (of_endpoints(directory, 5) - of_endpoints(directory, 1)) / 4


def of_endpoints(directory, workers):
    """Of one of a thousand endpoints."""
    addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(1000)]
    alone = {"workers": workers}
    return difference(directory, 1000, alone, alone | {"endpoints": ["127.0.0.1", *addresses]})


def listener(directory, _):
    return of_listeners(directory, 1)


def listener_of_a_worker(directory, _):
    return (of_listeners(directory, 5) - of_listeners(directory, 1)) / 4


def of_listeners(directory, workers):
    """Of one of a hundred listeners."""
    alone = {"workers": workers}
    return difference(directory, 100, alone, alone | {"listeners": 101})


def worker(directory, _):
    return difference(directory, 15, {}, {"workers": 16})


def table_of_rates(directory, count):
    """With clients from this many addresses in it."""
    sizes = []
    for limit in ("", 'limit.request_rate_per_client = "1000/s"'):
        more = LISTENER.format(port=(port := free_port()), lines=limit, upstream="origin")
        with (
            Backend(RESPONSE) as backend,
            subjects.Subject("millpond", directory, backend.port, more=more) as subject,
        ):
            for number in range(4 * count):
                connect(port, REQUEST, len(RESPONSE), address_of(number)).close()
            sizes.append(idleness.settled(subject))
    return sizes[1] - sizes[0]


def counted_client(directory, count):
    """What an idle client costs more where each address may have so many connections."""

    def one(port, number):
        return connect(port, REQUEST, len(RESPONSE), address_of(number))

    limited = growth(directory, count, RESPONSE, one, listener="limit.connections_per_client = 10")
    return limited - growth(directory, count, RESPONSE, one, listener="")


def address_of(number):
    return f"127.{2 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"


def log_line(directory, _):
    """The longest that a client can make, where nobody takes them."""
    request = REQUEST.replace(b"/ ", b"/" + b"x" * TARGET + b" ")
    under = ["env", "MILLPOND_LOG_ACCESS=stdout"]
    with (
        Backend(RESPONSE) as backend,
        subjects.Subject("millpond", directory, backend.port, under=under) as subject,
    ):
        client = connect(subject.port, REQUEST, len(RESPONSE))
        before = idleness.settled(subject)
        for _ in range(LINES + LINES // 8):
            client.sendall(request)
            client.recv(len(RESPONSE))
        return (idleness.settled(subject) - before) / LINES


# Each with the bytes that docs/RELIABILITY.md says.
TERMS = [
    ("idle client", 1_100, idle_client),
    ("client that has said nothing", 1_100, silent_client),
    ("request in flight, with both connections", 18_984, in_flight),
    ("request that waits for a connection, with its client", 17_484, waiting),
    ("TCP session, with both connections", 3_100, tunnel),
    ("connection idle in a pool", 1_500, pooled),
    ("endpoint, with one worker", 19_000, endpoint),
    ("endpoint, for each further worker", 1_000, endpoint_of_a_worker),
    ("listener, with one worker", 56_000, listener),
    ("listener, for each further worker", 6_000, listener_of_a_worker),
    ("worker", 4 << 20, worker),
    ("table of rates", 3_670_016, table_of_rates),
    ("client by its address, where its connections are counted", 150, counted_client),
    ("line of the access log", 8_300, log_line),
]


if __name__ == "__main__":
    main()
