"""Four hosts in a row, each a network namespace: client, proxy, NAT, backend.

    client 192.0.2.2 -- 192.0.2.1 proxy 198.51.100.10 and .11 -- 198.51.100.1 NAT
                                                  NAT 203.0.113.1 -- 203.0.113.10 backend

The addresses are those for documentation (RFC 5737). The backend has no route to the proxy's network: it
knows the NAT alone.
"""

import subprocess
from collections import Counter

from lab import procfs
from lab.processes import Failed

from . import sandbox

CLIENT = "192.0.2.2"
PROXY = "192.0.2.1"
SOURCES = ["198.51.100.10", "198.51.100.11"]
NAT_INSIDE = "198.51.100.1"
NAT_OUTSIDE = "203.0.113.1"
BACKEND = "203.0.113.10"
# Where the proxies listen, and where the backend does; neither is in the range below.
PORT = 8080
FIRST_PORT = 20_000
# Linux's TIME_WAIT, TCP_TIMEWAIT_LEN in include/net/tcp.h; it cannot be configured.
TIME_WAIT_SECONDS = 60

_RULES = """
table ip lab {
    chain postrouting {
        type nat hook postrouting priority 100;
        oifname "backend" ip protocol tcp masquerade to :%(first)d-%(last)d
    }
    chain forward {
        type filter hook forward priority 0;
        ct state invalid drop
    }
}
"""


class Network:
    """The hosts for the time of a `with` block. The proxy may dial from `ports` local ports, and the NAT
    has `nat_ports`, which are the same ones if there are as many. It forgets a flow that was silent for
    `nat_idle` seconds (`None`: Linux's five days), and then drops what still comes of it, without a word."""

    def __init__(self, ports, nat_ports=None, nat_idle=None):
        self.ports = ports
        self.nat_ports = nat_ports or ports
        self._nat_idle = nat_idle
        self.client, self.proxy, self.nat, self.backend = self._hosts = [
            sandbox.Namespace() for _ in range(4)
        ]

    def __enter__(self):
        try:
            self._link()
            self._configure()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_):
        self._close()

    def towards_backend(self):
        """The proxy's sockets that dialled the backend, by TCP state: each holds a port."""
        with self.proxy:
            return procfs.tcp_states(remote_port=PORT)

    def at_backend(self):
        """The backend's sockets by TCP state, without the listening one."""
        with self.backend:
            return procfs.tcp_states(local_port=PORT)

    def tracked(self):
        """The NAT's entries by conntrack's state, each of which holds one of its ports; `None` where the
        kernel does not list them (CONFIG_NF_CONNTRACK_PROCFS)."""
        with self.nat:
            try:
                with open("/proc/net/nf_conntrack", encoding="ascii") as file:
                    entries = [line.split() for line in file]
            except FileNotFoundError:
                return None
        return Counter(words[5] for words in entries if words[2] == "tcp")

    def tracked_count(self):
        """The NAT's own count of its entries."""
        with self.nat, open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as file:
            return int(file.read())

    def _link(self):
        for here, there, names, addresses in [
            (self.client, self.proxy, ("proxy", "client"), ([CLIENT], [PROXY])),
            (self.proxy, self.nat, ("nat", "proxy"), (SOURCES, [NAT_INSIDE])),
            (self.nat, self.backend, ("backend", "nat"), ([NAT_OUTSIDE], [BACKEND])),
        ]:
            pair = f"link add {names[0]} type veth peer name {names[1]} netns {there.path()}"
            _ip(here, [pair, *_interface(names[0], addresses[0])])
            _ip(there, _interface(names[1], addresses[1]))
        for host in self._hosts:
            _ip(host, ["link set lo up"])
        _ip(self.proxy, [f"route add default via {NAT_INSIDE}"])

    def _configure(self):
        for host in self._hosts:
            _set(host, "ipv4/tcp_tw_reuse", 0)
            _set(host, "core/somaxconn", 4096)
        _set(self.client, "ipv4/ip_local_port_range", "1024 65535")
        _set(self.proxy, "ipv4/ip_local_port_range", f"{FIRST_PORT} {FIRST_PORT + self.ports - 1}")
        _set(self.nat, "ipv4/ip_forward", 1)
        rules = _RULES % {"first": FIRST_PORT, "last": FIRST_PORT + self.nat_ports - 1}
        _run(self.nat, ["nft", "-f", "-"], rules)
        # Linux's NAT would keep its ports for twice as long as its hosts keep theirs.
        _set(self.nat, "netfilter/nf_conntrack_tcp_timeout_time_wait", TIME_WAIT_SECONDS)
        # A flow that it has forgotten is not taken up again in the middle.
        _set(self.nat, "netfilter/nf_conntrack_tcp_loose", 0)
        if self._nat_idle is not None:
            _set(self.nat, "netfilter/nf_conntrack_tcp_timeout_established", self._nat_idle)

    def _close(self):
        for host in self._hosts:
            host.close()


def _interface(name, addresses):
    return [*(f"address add {address}/24 dev {name}" for address in addresses), f"link set {name} up"]


def _ip(host, commands):
    _run(host, ["ip", "-batch", "-"], "\n".join(commands) + "\n")


def _set(host, name, value):
    try:
        with host, open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
            file.write(str(value))
    except OSError as error:
        raise Failed(f"net/{name} cannot be set in a network namespace: {error}") from error


def _run(host, command, text):
    with host:
        run = subprocess.run(
            [sandbox.program(command[0]), *command[1:]],
            input=text,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    if run.returncode != 0:
        raise Failed(f"{' '.join(command)} failed: {run.stderr.strip()}")
