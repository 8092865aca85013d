"""One process a directory: an advisory lock that the kernel drops with the process that held it."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from pipeline.errors import StateLocked

_LONGEST_NOTE = 200


class DirectoryLock:
    """`flock` on a file of ours, which says who holds it. A dead process's lock blocks nobody."""

    def __init__(self, path: Path) -> None:
        """Take it at once, or raise StateLocked with who has it; never waits. OSError when the file cannot be made."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, _LONGEST_NOTE, 0).decode(errors="replace").strip()
                os.close(descriptor)
                raise StateLocked(
                    "another process has this store open",
                    hint="stop that process, or give this worker an --id or --data-dir of its own",
                    directory=path.parent,
                    holder=holder or "unknown",
                ) from None
            if _is_still(path, descriptor):
                break
            # Quarantine moved the directory away between our open and our lock: what we locked is not what is there.
            os.close(descriptor)
        self._descriptor: int | None = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Give it back; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
