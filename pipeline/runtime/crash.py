"""Named places where a crash would be most interesting, for tests that put one there and for proofs that one hit."""

from __future__ import annotations

import mmap
import os
import signal
import threading
from enum import IntEnum
from pathlib import Path
from typing import Protocol


class CrashPoint(IntEnum):
    """Where a worker is on its way from one commit to the next, and through a restore."""

    IDLE = 0
    FOLDED = 1
    """Records folded since the last commit; nothing of it is committed."""
    CHANGELOG_SENT = 2
    """Outputs and changelog are in the log, inside an open transaction."""
    OFFSETS_SENT = 3
    COMMITTED = 4
    """Kafka has it; the stores are one commit behind."""
    STORE_APPLIED = 5
    """One partition's store has followed; others of the same commit may not have."""
    APPLIED = 6
    ASSIGNED = 7
    """The group has given partitions; their stores are not open yet."""
    RESTORE_PLANNED = 8
    """Where a restore starts and ends is known; the store is as it was."""
    RESTORE_MARKED = 9
    """The store says that it is in mid-restore; its first restored record comes next."""
    INGESTED = 10
    """Large tables of a chunk went into the store as files; the position that they reach is not in it yet."""
    RESTORE_CHUNK = 11
    """A chunk of changelog and its position are in the store."""
    RESTORED = 12
    REVOKED = 13
    """Partitions are being handed over; their last commit is done."""
    RELEASED = 14
    """Their stores are closed; the group does not know yet."""
    LOST = 15
    """Partitions are somebody else's by now; what was pending is dropped, the stores are still open."""
    TAILED = 16
    """A standby's store has followed its owner to a newer commit."""
    TAKEN_OVER = 17
    """A standby's store is its task's now; the tail of its changelogs is still to be restored."""
    RECEIVED = 18
    """A peer's checkpoint lies where the store has its place; nobody has opened it yet."""


class CrashHook(Protocol):
    def __call__(self, point: CrashPoint, folded: int = 0, /) -> None:
        """`point` is reached; at FOLDED with so many records in the open transaction."""
        ...


def nowhere(_point: CrashPoint, _folded: int = 0, /) -> None:
    """The hook of a worker that is not under test."""


_FOLDED = slice(8, 16)
"""Where in a trace the number of records stands."""


class CrashTrace:
    """Keeps the last crash point in a file that outlives a kill -9, and can die at one.

    Tests set it by `STATELOG_CRASH_TRACE=FILE` and `STATELOG_CRASH_AT=POINT:TIMES`. A killed process leaves the
    page behind: a byte for the point, and the number of records folded in the transaction that was begun last.
    """

    def __init__(self, path: Path, crash_at: str | None = None) -> None:
        path.write_bytes(b"\0" * mmap.PAGESIZE)
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        name, _, times = (crash_at or "").partition(":")
        self._fatal = CrashPoint[name] if name else None
        self._left = int(times or 1)
        self._lock = threading.Lock()

    def __call__(self, point: CrashPoint, folded: int = 0, /) -> None:
        # The loop and the restorer come here: where one of them dies, the other does not write over it.
        with self._lock:
            if point is CrashPoint.FOLDED:
                self._page[_FOLDED] = folded.to_bytes(8, "little")
            self._page[0] = point
            if point is self._fatal:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def last(path: Path) -> CrashPoint:
        """Where the process that wrote this trace was last."""
        return CrashPoint(path.read_bytes()[0])

    @staticmethod
    def folded(path: Path) -> int:
        """How many records it had folded in the transaction that it began last."""
        return int.from_bytes(path.read_bytes()[_FOLDED], "little")


def from_environment() -> CrashHook:
    """The hook that the environment asks for."""
    path = os.environ.get("STATELOG_CRASH_TRACE")
    return CrashTrace(Path(path), os.environ.get("STATELOG_CRASH_AT")) if path else nowhere
