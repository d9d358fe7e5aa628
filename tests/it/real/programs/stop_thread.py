"""Stops one thread of a process, by its name, until the standard input ends: ptrace(2) does that without
a signal to the others."""

import ctypes
import os
import pathlib
import sys

# include/uapi/linux/ptrace.h
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        number = ctypes.get_errno()
        sys.exit(f"ptrace: {os.strerror(number)}: run this as root, or set kernel.yama.ptrace_scope to 0")


pid, name = sys.argv[1:]
tasks = pathlib.Path(f"/proc/{pid}/task")
[thread] = [int(task.name) for task in tasks.iterdir() if (task / "comm").read_text().strip() == name]
ptrace(PTRACE_SEIZE, thread)
ptrace(PTRACE_INTERRUPT, thread)
os.waitpid(thread, WALL)
print("stopped", flush=True)
sys.stdin.read()
ptrace(PTRACE_DETACH, thread)
