"""Directories that a store must not take: a typed error, and nothing touched."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from pipeline.errors import Misconfigured, StateForeign, StateLocked, StateTooNew, StateUnusable
from pipeline.state import rocks
from pipeline.state.api import FORMAT_VERSION, Restoring
from pipeline.state.identity import write_identity
from pipeline.state.rocks import RocksStore, open_checkpoint
from tests.faults.store_child import IDENTITY, TABLES, commit, expected


def content(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != "lock"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of a store at commit 5, closed."""
    store = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    for number in range(1, 6):
        store.apply(*commit(number))
    store.close()
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"application": "other"}, StateForeign),
        ({"partition": 1}, StateForeign),
        ({"source_topic_id": "made-anew"}, StateForeign),
        ({"changelog_topic_ids": {**IDENTITY.changelog_topic_ids, "b": "made-anew"}}, StateForeign),
        ({"topology_version": "2"}, StateUnusable),
        ({"changelog_topic_ids": {"a": "id", "b": "id", "new": "id"}}, StateUnusable),
    ],
    ids=str,
)
def test_a_store_of_another_is_refused_and_left_as_it_is(
    directory: Path, change: dict[str, object], error: type[Exception]
) -> None:
    before = content(directory)
    with pytest.raises(error):
        RocksStore.open(directory, msgspec.structs.replace(IDENTITY, **change), TABLES)
    assert content(directory) == before
    RocksStore.open(directory, IDENTITY, TABLES).close()


@pytest.mark.parametrize(("difference", "error"), [(1, StateTooNew), (-1, StateUnusable)], ids=["newer", "older"])
def test_a_newer_format_is_refused_and_an_older_one_rebuilt(
    directory: Path, difference: int, error: type[Exception]
) -> None:
    write_identity(directory, msgspec.structs.replace(IDENTITY, format_version=FORMAT_VERSION + difference))
    before = content(directory)
    with pytest.raises(error):
        RocksStore.open(directory, IDENTITY, TABLES)
    assert content(directory) == before


def test_a_refused_store_is_not_left_locked(directory: Path) -> None:
    """The caller still holds the error, with all that it refers to, when it puts the directory in quarantine."""
    (directory / "rocksdb" / "CURRENT").write_bytes(b"MANIFEST-999999\n")
    with pytest.raises(StateUnusable):
        RocksStore.open(directory, IDENTITY, TABLES)
    try:
        RocksStore.open(directory, IDENTITY, TABLES)
    except StateUnusable:
        directory.rename(directory.with_name("aside"))
        RocksStore.open(directory, IDENTITY, TABLES).close()


def test_one_process_does_not_open_a_store_twice(directory: Path) -> None:
    store = RocksStore.open(directory, IDENTITY, TABLES)
    with pytest.raises(StateLocked, match=f"pid {os.getpid()}"):
        RocksStore.open(directory, IDENTITY, TABLES)
    store.close()
    RocksStore.open(directory, IDENTITY, TABLES).close()


def test_closing_waits_for_a_reader(directory: Path) -> None:
    store = RocksStore.open(directory, IDENTITY, TABLES)
    entered, read = threading.Event(), []

    def reader() -> None:
        with store.view() as view:
            entered.set()
            time.sleep(0.3)
            read.append(dict(view.scan("a")))

    thread = threading.Thread(target=reader)
    thread.start()
    entered.wait()
    store.close()
    assert read == [expected(5)["a"]]
    thread.join()


def test_closing_waits_no_longer_than_it_says_and_the_reader_hears_of_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rocks, "CLOSE_TIMEOUT_S", 0.2)
    store = RocksStore.open(directory, IDENTITY, TABLES)
    with store.view() as view:
        rows = view.scan("a")
        before = time.monotonic()
        store.close()
        assert time.monotonic() - before >= 0.2
        with pytest.raises(StateUnusable, match="under its reader"):
            next(rows)
    RocksStore.open(directory, IDENTITY, TABLES).close()


def test_a_mark_that_was_set_is_there_after_a_restart_and_no_view_of_a_copy_hides_it(directory: Path) -> None:
    store = RocksStore.open(directory, IDENTITY, TABLES)
    target = Restoring({"a": 9})
    store.begin_restore(target)
    store.close()
    store = RocksStore.open(directory, IDENTITY, TABLES)
    assert store.restoring == target
    store.close()
    with pytest.raises(StateUnusable, match="mid-restore"), open_checkpoint(directory, TABLES):
        pass


def test_a_path_that_is_no_directory_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="cannot be used"):
        RocksStore.open(tmp_path / "file" / "store", IDENTITY, TABLES)
