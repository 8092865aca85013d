"""How much lies on disks, of what is at work on them: files and directories come and go while they are counted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def directory_bytes(directory: Path) -> int:
    """Of all files below it."""
    return sum(map(_size, _files(directory)))


def topic_bytes(data_dir: Path, topics: Iterable[str]) -> int:
    """Of topics' segments below a broker's directory, as compressed as their producers have sent them."""
    wanted = frozenset(topics)
    return sum(_size(path) for path in _files(data_dir) if path.suffix == ".log" and _topic_of(path.parent) in wanted)


def _files(directory: Path) -> Iterator[Path]:
    # Not `Path.rglob`, which raises for a directory that goes while it looks.
    for folder, _, names in os.walk(directory):
        yield from (Path(folder, name) for name in names)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _topic_of(directory: Path) -> str | None:
    """A partition's directory is named by its topic and its number."""
    topic, _, number = directory.name.rpartition("-")
    return topic if number.isdigit() else None
