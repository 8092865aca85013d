"""Where simulated disks lie: in memory where there is such a place, as nobody pulls the plug of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - of the directory's own making, by mkdtemp


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    place = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=place) as directory:
        yield Path(directory)
