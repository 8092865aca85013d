"""What is counted of disks that somebody works on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.rehearsal.disk import directory_bytes, topic_bytes


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def test_segments_of_the_topics_that_are_asked_for_are_counted(tmp_path: Path) -> None:
    _write(tmp_path / "kafka/readings-0/00.log", 100)
    _write(tmp_path / "kafka/readings-11/00.log", 20)
    _write(tmp_path / "kafka/readings-0/00.index", 5_000)
    _write(tmp_path / "kafka/readings-two-0/00.log", 7_000)
    _write(tmp_path / "kafka/readings-0.abc-delete/00.log", 9_000)
    _write(tmp_path / "kafka/windows-0/00.log", 3)
    assert topic_bytes(tmp_path, ["readings"]) == 120
    assert topic_bytes(tmp_path, ["readings", "windows"]) == 123
    assert topic_bytes(tmp_path, []) == 0


def test_what_goes_meanwhile_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that is listed and then gone, and a file likewise: a broker deletes a topic, a store compacts."""
    _write(tmp_path / "stays/000.sst", 10)
    _write(tmp_path / "goes/000.sst", 30)
    _write(tmp_path / "stays/001.sst", 500)
    goes = {"goes": lambda: shutil.rmtree(tmp_path / "goes"), "001.sst": (tmp_path / "stays/001.sst").unlink}
    gone = _while_walking(monkeypatch, goes)
    assert directory_bytes(tmp_path) == 10
    assert sorted(gone) == ["001.sst", "goes"]


def _while_walking(monkeypatch: pytest.MonkeyPatch, goes: dict[str, Callable[[], None]]) -> list[str]:
    """Each goes right after the system has named it."""
    gone: list[str] = []
    scan = os.scandir

    class Listing:
        def __init__(self, path: str) -> None:
            self._entries = scan(path)

        def __enter__(self) -> Listing:
            return self

        def __exit__(self, *_: object) -> None:
            self._entries.close()

        def __iter__(self) -> Listing:
            return self

        def __next__(self) -> os.DirEntry[str]:
            entry = next(self._entries)
            entry.is_dir()  # as the system has told with the name
            if entry.name in goes and entry.name not in gone:
                gone.append(entry.name)
                goes[entry.name]()
            return entry

    monkeypatch.setattr(os, "scandir", Listing)
    return gone
