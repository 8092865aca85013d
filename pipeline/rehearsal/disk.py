"""How much lies on disks, of what is at work on them: files and directories come and go while they are counted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def directory_bytes(directory: Path) -> int:
    """Of all files below it."""
    return sum(_sizes(path for paths in _walk(directory).values() for path in paths))


def topic_bytes(data_dir: Path, topics: Iterable[str]) -> int:
    """Of topics' segments below a broker's directory, as compressed as their producers have sent them."""
    wanted = frozenset(topics)
    return sum(
        _sizes(
            path
            for directory, paths in _walk(data_dir).items()
            for path in paths
            if path.suffix == ".log" and _topic_of(directory) in wanted
        )
    )


def _walk(directory: Path) -> dict[Path, list[Path]]:
    # Not `Path.rglob`, which raises for a directory that goes while it looks.
    return {Path(folder): [Path(folder, name) for name in names] for folder, _, names in os.walk(directory)}


def _sizes(paths: Iterable[Path]) -> Iterator[int]:
    for path in paths:
        try:
            yield path.stat().st_size
        except FileNotFoundError:
            continue


def _topic_of(directory: Path) -> str | None:
    """A partition's directory is named by its topic and its number."""
    topic, _, number = directory.name.rpartition("-")
    return topic if number.isdigit() else None
