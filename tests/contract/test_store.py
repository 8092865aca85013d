"""What every store promises, held against the one on disk and the one in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.errors import StateUnusable
from pipeline.state.api import Position, Restoring, Store, StoreIdentity, StoreView, WriteSet
from pipeline.state.digest import digest
from pipeline.state.memory import MemoryStore, read_memory_checkpoint
from pipeline.state.rocks import RocksStore, open_checkpoint
from tests.support.threads import running
from tests.support.waiting import eventually

TABLES = ("counts", "names")
IDENTITY = StoreIdentity("app", "1", 3, {"counts": "topic-a", "names": "topic-b"}, "topic-s")


class Kind(NamedTuple):
    store: Store
    read_checkpoint: Callable[[Path], AbstractContextManager[StoreView]]


@pytest.fixture(params=["rocksdb", "memory"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    if request.param == "memory":
        yield Kind(MemoryStore(IDENTITY, TABLES), lambda path: nullcontext(read_memory_checkpoint(path)))
        return
    on_disk = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    try:
        yield Kind(on_disk, lambda path: open_checkpoint(path, TABLES))
    finally:
        on_disk.close()


@pytest.fixture
def store(kind: Kind) -> Store:
    return kind.store


def at(next_offset: int) -> Position:
    return Position(next_offset, {"counts": next_offset, "names": next_offset}, 1_000 + next_offset)


def put(store: Store, next_offset: int, **rows: dict[bytes, bytes | None]) -> None:
    store.apply(WriteSet(rows), at(next_offset))


def test_a_new_store_is_empty_and_at_the_beginning(store: Store) -> None:
    assert store.position == Position()
    assert store.restoring is None
    assert store.identity == IDENTITY
    assert store.get("counts", b"a") is None
    with store.view() as view:
        assert list(view.scan("counts")) == []


def test_values_and_position_move_together(store: Store) -> None:
    put(store, 7, counts={b"a": b"1", b"b": b"2"}, names={b"a": b"A"})
    assert store.position == at(7)
    assert store.get("counts", b"a") == b"1"
    assert store.get("names", b"a") == b"A"
    assert store.get("names", b"b") is None


def test_none_deletes_and_an_absent_row_may_be_deleted(store: Store) -> None:
    put(store, 1, counts={b"a": b"1"})
    put(store, 2, counts={b"a": None, b"never": None})
    assert store.get("counts", b"a") is None


def test_an_empty_value_is_a_value(store: Store) -> None:
    put(store, 1, counts={b"": b"", b"a": b""})
    assert store.get("counts", b"a") == b""
    assert store.get("counts", b"") == b""
    assert store.get_many("counts", [b"a", b"b"]) == [b"", None]


def test_get_many_answers_in_the_order_asked(store: Store) -> None:
    put(store, 1, counts={b"%d" % number: b"v%d" % number for number in range(100)})
    assert store.get_many("counts", [b"7", b"none", b"0", b"7"]) == [b"v7", None, b"v0", b"v7"]
    assert store.get_many("counts", []) == []


def test_an_unknown_table_is_an_error_and_changes_nothing(store: Store) -> None:
    with pytest.raises(KeyError):
        store.apply(WriteSet({"counts": {b"a": b"1"}, "other": {b"a": b"1"}}), at(1))
    with pytest.raises(KeyError):
        store.get("other", b"a")
    assert store.get("counts", b"a") is None
    assert store.position == Position()


def test_a_scan_is_in_byte_order_from_start_up_to_but_without_stop(store: Store) -> None:
    keys = [bytes([first, second]) for first in (0, 0x7F, 0x80, 0xFF) for second in (0, 0x80, 0xFF)]
    put(store, 1, counts={key: key for key in reversed(keys)})
    with store.view() as view:
        assert [key for key, _ in view.scan("counts")] == keys
        assert [key for key, _ in view.scan("counts", b"\x7f\x80", b"\x80\xff")] == keys[4:8]
        assert list(view.scan("counts", b"\xff\xff\x00")) == []
        assert list(view.scan("counts", b"b", b"a")) == []


@pytest.mark.parametrize("rows", [511, 512, 513, 1_024, 2_000])
def test_a_scan_gives_every_row_once_whatever_their_number(store: Store, rows: int) -> None:
    keys = [b"%06d" % number for number in range(rows)]
    put(store, 1, counts=dict.fromkeys(keys, b"v"))
    with store.view() as view:
        assert [key for key, _ in view.scan("counts")] == keys
        assert [key for key, _ in view.scan("counts", stop=keys[-1])] == keys[:-1]


def test_a_view_stays_at_its_instant_while_the_store_moves_on(store: Store) -> None:
    put(store, 1, counts={b"a": b"old", b"gone": b"x"}, names={b"a": b"old"})
    with store.view() as view:
        put(store, 2, counts={b"a": b"new", b"b": b"new", b"gone": None}, names={b"a": b"new"})
        assert view.position == at(1)
        assert view.get("counts", b"a") == b"old"
        assert view.get("counts", b"b") is None
        assert view.get("names", b"a") == b"old"
        assert list(view.scan("counts")) == [(b"a", b"old"), (b"gone", b"x")]
    with store.view() as view:
        assert view.position == at(2)
        assert list(view.scan("counts")) == [(b"a", b"new"), (b"b", b"new")]


def test_scans_and_look_ups_of_one_view_may_be_mixed(store: Store) -> None:
    put(store, 1, counts={b"%06d" % number: b"%d" % number for number in range(3_000)})
    with store.view() as view:
        both = zip(view.scan("counts"), view.scan("counts", b"001000"), strict=False)
        for number, (one, other) in enumerate(both):
            assert one == (b"%06d" % number, b"%d" % number)
            assert other[0] == b"%06d" % (number + 1_000)
            assert view.get("counts", b"002999") == b"2999"


def test_readers_on_other_threads_see_whole_commits_only(store: Store) -> None:
    put(store, 0, counts=dict.fromkeys((b"a", b"b"), b"0"), names={b"a": b"0"})
    stop, torn, seen = threading.Event(), [], set()

    def read() -> None:
        while not stop.is_set():
            with store.view() as view:
                number = b"%d" % view.position.source_next
                values = [view.get("counts", b"a"), view.get("names", b"a"), dict(view.scan("counts"))[b"b"]]
                seen.add(number)
                if values != [number] * 3:
                    torn.append((number, values))

    threads = [threading.Thread(target=read) for _ in range(3)]
    numbers = count(1)

    def written() -> bool:
        number = next(numbers)
        put(store, number, counts=dict.fromkeys((b"a", b"b"), b"%d" % number), names={b"a": b"%d" % number})
        return number >= 400 and len(seen) > 10

    with running(threads, stop):
        # The pause: else the interpreter runs the writer alone.
        eventually(written, "the readers have met several commits", pause_s=0.0005)
    assert torn == []


@pytest.mark.parametrize("rows", [10, 30_000], ids=["batch", "ingest"])
def test_a_restore_puts_deletes_and_ends_without_its_mark(store: Store, rows: int) -> None:
    put(store, 1, counts={b"%06d" % number: b"old" for number in range(0, rows, 2)}, names={b"stays": b"x"})
    target = Restoring({"counts": 9, "names": 9})
    store.begin_restore(target)
    assert store.restoring == target
    store.restore_rows({"counts": {b"%06d" % number: b"new" for number in range(rows)}}, at(5), done=False)
    assert store.restoring == target
    assert store.position == at(5)
    deletions: dict[bytes, bytes | None] = {b"%06d" % number: None for number in range(1, rows)}
    store.restore_rows({"counts": deletions, "names": {b"n": b"1"}}, at(9), done=True)
    assert store.restoring is None
    assert store.position == at(9)
    with store.view() as view:
        assert list(view.scan("counts")) == [(b"000000", b"new")]
        assert list(view.scan("names")) == [(b"n", b"1"), (b"stays", b"x")]


def test_a_restore_that_has_nothing_to_bring_can_end(store: Store) -> None:
    store.begin_restore(Restoring({"counts": 4, "names": 4}))
    store.restore_rows({}, at(4), done=True)
    assert store.restoring is None
    assert store.position == at(4)


def test_rows_are_not_restored_without_the_mark(store: Store) -> None:
    with pytest.raises(StateUnusable):
        store.restore_rows({"counts": {b"a": b"1"}}, at(1), done=True)
    assert store.get("counts", b"a") is None


def test_a_checkpoint_holds_its_position_and_does_not_follow(kind: Kind, tmp_path: Path) -> None:
    store = kind.store
    put(store, 3, counts={b"a": b"1"}, names={b"b": b"2"})
    assert store.checkpoint(tmp_path / "copy") == at(3)
    put(store, 4, counts={b"a": b"later"})
    with kind.read_checkpoint(tmp_path / "copy") as copy:
        assert copy.position == at(3)
        assert list(copy.scan("counts")) == [(b"a", b"1")]
        assert copy.get("names", b"b") == b"2"


def test_a_store_in_mid_restore_gives_no_checkpoint(store: Store, tmp_path: Path) -> None:
    store.begin_restore(Restoring({"counts": 4}))
    with pytest.raises(StateUnusable):
        store.checkpoint(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_the_digest_is_of_the_rows_and_of_nothing_else(store: Store) -> None:
    other = MemoryStore(IDENTITY, TABLES)

    def digests() -> tuple[str, str]:
        with store.view() as mine, other.view() as theirs:
            return digest(mine, TABLES), digest(theirs, reversed(TABLES))

    put(store, 1, counts={b"%06d" % number: b"v" * (number % 9) for number in range(2_500)}, names={b"a": b"b"})
    put(other, 99, counts={b"%06d" % number: b"v" * (number % 9) for number in range(2_500)}, names={b"a": b"b"})
    mine, theirs = digests()
    assert mine == theirs
    put(other, 100, counts={b"000777": b"other"})
    assert len(set(digests())) == 2
    put(other, 101, counts={b"000777": b"v" * (777 % 9)}, names={b"a": None, b"ab": b""})
    assert len(set(digests())) == 2, "where a key ends and its value begins must count"


def test_a_closed_store_says_so(store: Store, tmp_path: Path) -> None:
    store.close()
    store.close()
    for use in (
        lambda: store.get("counts", b"a"),
        lambda: store.get_many("counts", [b"a"]),
        lambda: store.apply(WriteSet({"counts": {b"a": b"1"}}), at(1)),
        lambda: store.begin_restore(Restoring({})),
        lambda: store.checkpoint(tmp_path / "copy"),
        store.sync,
        store.view().__enter__,
    ):
        with pytest.raises(StateUnusable, match="closed"):
            use()


def test_its_size_is_of_what_it_holds(store: Store) -> None:
    empty = store.size()
    assert empty.keys == {"counts": 0, "names": 0}
    put(store, 1, counts={b"%d" % number: bytes(100) for number in range(1_000)}, names={b"a": b"b"})
    size = store.size()
    assert size.keys == {"counts": 1_000, "names": 1}
    assert size.disk_bytes > empty.disk_bytes + 10_000  # zeros: RocksDB compresses what it flushes, not its log


def test_a_closed_store_has_no_size(store: Store) -> None:
    store.close()
    with pytest.raises(StateUnusable):
        store.size()
