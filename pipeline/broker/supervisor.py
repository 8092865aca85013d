"""Run one command and see to it that it ends when the process that wanted it does, however that one ends.

A script of its own, on the standard library only, so that it starts quickly and is small:
`supervisor.py PARENT_PID OUTPUT_FILE ORPHAN_DIRECTORY COMMAND…`. It prints the command's pid, then obeys its standard
input: `t` asks the command to stop and kills it when it takes too long, `k` kills it, the end of input means that the
parent is gone. It ends as soon as the command has.

Three things have to fail before the command outlives the parent. The end of input is at once, but comes late when a
fork of the parent still holds the pipe. The parent's pid is looked at twice a second (Linux's "signal me when my parent
dies" means the parent's *thread*, which may end much earlier). And if the supervisor itself is killed, Linux kills the
command: its parent is this process's only thread.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

TERMINATE = b"t"
KILL = b"k"
GRACE_S = 30.0
"""How long a command that was asked to stop may take."""

_LOOK_S = 0.5
_PR_SET_PDEATHSIG = 1


def supervise(parent: int, output: str, orphan_directory: str, command: list[str]) -> int:
    """Returns the command's exit status. `orphan_directory`, if any, is removed when the parent left it behind."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    asked_to_stop = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=written,
        stderr=written,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - unsafe beside other threads, and here are none
    )
    print(child.pid, flush=True)

    sources = [0, wake]
    orphaned = False
    deadline: float | None = None
    while child.poll() is None:
        ready = select.select(sources, [], [], _LOOK_S)[0]
        if wake in ready:
            os.read(wake, 1024)
        order = os.read(0, 1) if 0 in ready else None
        if order == b"":
            sources.remove(0)
        orphaned = orphaned or order == b"" or os.getppid() != parent
        useless = orphaned and orphan_directory  # nobody wants it, and its files go: nothing to wait for
        if order == KILL or useless or (deadline is not None and time.monotonic() > deadline):
            child.kill()
        elif deadline is None and (orphaned or asked_to_stop or order == TERMINATE):
            child.terminate()
            deadline = time.monotonic() + GRACE_S
    if orphan_directory and (orphaned or os.getppid() != parent):
        shutil.rmtree(orphan_directory, ignore_errors=True)
    return child.returncode


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    supervisor = os.getpid()

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it died before the call above
            os._exit(1)

    return in_child


if __name__ == "__main__":
    status = supervise(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
    sys.exit(status if status >= 0 else 128 - status)
