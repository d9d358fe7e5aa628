"""What the kernel says about processes and sockets (proc(5))."""

import ctypes
import os
import time
from collections import Counter
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# The states of /proc/net/tcp, include/net/tcp_states.h.
TIME_WAIT = "06"
LISTEN = "0A"
STATES = [
    *["ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"],
    *["CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV"],
]

_libc = ctypes.CDLL(None, use_errno=True)


def family(pid):
    """The process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat_fields(entry.name)):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    pids, unvisited = [], [pid]
    while unvisited:
        pid = unvisited.pop()
        pids.append(pid)
        unvisited += parents.get(pid, [])
    return pids


def start_time(pid):
    """When the process started, in ticks since boot; `None` if it is gone. Tells a process from another
    that was given the same id later."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def cpu_seconds(pids):
    """User and system time that the processes have used, all their threads together."""
    ticks = 0
    for pid in pids:
        if fields := _stat_fields(pid):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def exact_cpu_seconds(pids):
    """The same to the microsecond, but only for processes that run (clock_getcpuclockid(3))."""
    total = 0.0
    for pid in pids:
        clock = ctypes.c_int()
        if _libc.clock_getcpuclockid(pid, ctypes.byref(clock)) == 0:
            total += time.clock_gettime(clock.value)
    return total


def machine_busy_seconds():
    """Time that all processors together were not idle since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        # user nice system idle iowait irq softirq steal; guests are in user already.
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def resident_bytes(pids):
    """The proportional set size of the processes: memory that they share is counted once."""
    return sum(_kib(f"/proc/{pid}/smaps_rollup", "Pss") for pid in pids) * 1024


def peak_resident_bytes(pids):
    """The highest resident set that each process ever had, added up."""
    return sum(_kib(f"/proc/{pid}/status", "VmHWM") for pid in pids) * 1024


def is_listening(port):
    return any(state == LISTEN and local == port for state, local, _ in _sockets())


def time_wait(port):
    """Sockets in TIME_WAIT between this port and its clients: (on the clients' side, on the port's)."""
    dialled = accepted = 0
    for state, local, remote in _sockets():
        if state == TIME_WAIT:
            dialled += remote == port
            accepted += local == port
    return dialled, accepted


def tcp_states(local_port=None, remote_port=None):
    """Sockets by the name of their state, those that listen left out, with these ports where given."""
    return Counter(
        STATES[int(state, 16) - 1]
        for state, local, remote in _sockets()
        if state != LISTEN and local_port in (None, local) and remote_port in (None, remote)
    )


def time_wait_overflows():
    """How often a socket was denied its TIME_WAIT because there were too many (TCPTimeWaitOverflow):
    if this grows, a count of TIME_WAIT sockets is too low."""
    with open("/proc/net/netstat", encoding="ascii") as file:
        lines = [line.split() for line in file]
    for names, values in zip(lines[::2], lines[1::2]):
        if "TCPTimeWaitOverflow" in names:
            return int(values[names.index("TCPTimeWaitOverflow")])
    raise RuntimeError("/proc/net/netstat has no TCPTimeWaitOverflow")


def _stat_fields(pid):
    """The fields of /proc/PID/stat from the state on; `None` if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name before them, in brackets, may hold anything.
    return text[text.rindex(")") + 1 :].split()


def _kib(path, name):
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1])
    raise RuntimeError(f"{path} has no {name}")


def _sockets():
    """(state, local port, remote port) of every IPv4 socket of TCP."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        next(file)
        for line in file:
            _, local, remote, state = line.split(maxsplit=4)[:4]
            yield state, int(local[-4:], 16), int(remote[-4:], 16)
