"""A user namespace with an empty network: whatever is built in it ends with this process."""

import ctypes
import os
import shutil

from lab.processes import Failed

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
# What the laboratory calls, and the packages of Debian that have it.
_PROGRAMS = {"ip": "iproute2", "nft": "nftables"}
# Where distributions install these, which is not always in a user's PATH.
_SYSTEM_DIRECTORIES = ["/usr/local/sbin", "/usr/sbin", "/sbin"]

_libc = ctypes.CDLL(None, use_errno=True)


def enter():
    """Moves this process, which must not have a second thread yet, into a network namespace of its own
    without any interface: not even a mistake can reach the host's network from there. Without the right
    to do so a user namespace is made first, in which this user is root (user_namespaces(7))."""
    _need_programs()
    user, group = os.geteuid(), os.getegid()
    try:
        _unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except OSError as error:
        if user != 0:
            raise Failed(_refused(error)) from error
        try:
            _unshare(CLONE_NEWNET)
        except OSError as again:
            raise Failed(_refused(again)) from again
        return
    # A group may be mapped only after the right to change groups is given up.
    for name, text in [("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")]:
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


class Namespace:
    """A network namespace, kept by a descriptor. In a `with` block this process is in it: sockets opened
    there stay in it, and so do processes started there. A block must not await."""

    def __init__(self):
        home = _current()
        try:
            _unshare(CLONE_NEWNET)
            self._fd = _current()
        finally:
            _set(home)
            os.close(home)
        self._homes = []

    def __enter__(self):
        self._homes.append(_current())
        _set(self._fd)
        return self

    def __exit__(self, *_):
        home = self._homes.pop()
        _set(home)
        os.close(home)

    def path(self):
        """A path that leads to it as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def close(self):
        """Lets go of it: it ends with the last of its processes and sockets."""
        os.close(self._fd)


def program(name):
    """The path of a program of the host, or `None`."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_DIRECTORIES]))


def _need_programs():
    missing = [package for name, package in _PROGRAMS.items() if program(name) is None]
    if missing:
        raise Failed(f"missing: apt-get install {' '.join(missing)}")


def _refused(error):
    return (
        f"no network namespace may be made here: {error}. Look at user.max_user_namespaces, "
        "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, and, in a "
        "container, at its seccomp profile; or run this as root."
    )


def _unshare(flags):
    if _libc.unshare(flags) != 0:
        raise _errno("unshare")


def _set(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise _errno("setns")


def _current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _errno(call):
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
