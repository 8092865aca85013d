"""Files that hold secrets, or that tell who is who. What is in them is in no message and no log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from pipeline.errors import Misconfigured

Told = TypeVar("Told")

LOOK_EVERY_S = 1.0

logger = structlog.get_logger(__name__)


def text_of(path: Path) -> str:
    """Misconfigured for a file that cannot be read, or that is no text."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Misconfigured(f"cannot read {path}: {reason}", hint="name a file that this user may read") from error


def secret_of(path: Path) -> str:
    """What a file holds, but for the line end that editors leave."""
    secret = text_of(path).rstrip("\r\n")
    if not secret:
        raise Misconfigured("the file holds no secret", file=path)
    return secret


class Followed(Generic[Told]):
    """What a file says, read anew a second after it changes: a token is withdrawn without a restart.

    A file that says nothing readable any more is logged, and what it said before goes on to hold: half a file, as an
    editor leaves it for a moment, must not lock everybody out.
    """

    def __init__(self, path: Path, read: Callable[[Path], Told], clock: Callable[[], float] = time.monotonic) -> None:
        """Raises what `read` does, which is Misconfigured."""
        self._path = path
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._looked_at = clock()
        self._told = read(path)

    def __call__(self) -> Told:
        with self._lock:
            if self._clock() - self._looked_at >= LOOK_EVERY_S:
                self._looked_at = self._clock()
                stamp = self._look()
                if stamp != self._stamp:
                    self._stamp = stamp
                    try:
                        self._told = self._read(self._path)
                        logger.info("a file is read anew", file=str(self._path))
                    except Misconfigured as error:
                        logger.error("a changed file is of no use; what it said before holds", file=str(self._path),
                                     reason=str(error), hint=error.hint)  # fmt: skip
            return self._told

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
