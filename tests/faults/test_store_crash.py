"""Stores that were killed, cut off from power or cut short: an exact prefix, or an error, and never a wrong value."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline.errors import StateLocked, StateUnusable
from pipeline.state.api import Position, WriteSet
from pipeline.state.rocks import RocksStore
from pipeline.state.rocks_chain import FLUSH_EVERY, RING
from tests.faults.damage_child import WrongValue, check, content
from tests.faults.store_child import IDENTITY, TABLES, _chunk, commit, expected

CUT_EVERY_BYTES = 64
"""At the end of the log; less than a record with nothing but a position would take."""


def start(directory: Path, act: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.faults.store_child", directory, act], stdout=subprocess.PIPE)


def kill_after(child: subprocess.Popen[bytes], seconds: float) -> int:
    """kill -9 so long after the first commit; returns the last commit that the child has reported."""
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(seconds)
    child.kill()
    reported = child.stdout.read().split(b"\n")
    child.wait()
    child.stdout.close()
    return int(reported[-2] if len(reported) > 1 else 1)


def test_kill_9_leaves_every_commit_whole_and_none_is_lost(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance, reached = random.Random(seed), 0
    for _ in range(10):
        child = start(tmp_path / "store", "apply")
        reported = kill_after(child, chance.uniform(0, 0.15))
        assert reported > reached, "the child must have been at work"
        store = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
        reached = store.position.source_next
        # What was reported was applied; the one after it may have been.
        assert reached in (reported, reported + 1), seed
        assert store.position == commit(reached)[1]
        assert content(store) == expected(reached)
        store.close()


def test_a_directory_is_refused_while_another_process_lives_and_free_once_it_is_dead(tmp_path: Path) -> None:
    child = start(tmp_path / "store", "apply")
    assert child.stdout is not None
    child.stdout.readline()

    with pytest.raises(StateLocked, match=f"pid {child.pid} on"):
        RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    kill_after(child, 0)
    RocksStore.open(tmp_path / "store", IDENTITY, TABLES).close()


def test_what_was_not_synced_is_lost_as_a_whole_tail(tmp_path: Path) -> None:
    """A power cut, as a copy whose log ends anywhere: files that were synced are whole, the log is what had reached
    the disk.
    """
    store = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    for number in range(1, 101):
        store.apply(*commit(number))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    store.close()
    (log,) = (path for path in (tmp_path / "copy" / "rocksdb").glob("*.log") if path.stat().st_size)
    whole = log.read_bytes()
    positions = set()
    for share in (0.0, 0.1, 0.37, 0.5, 0.83, 0.999, 1.0):
        trial = tmp_path / f"trial-{share}"
        shutil.copytree(tmp_path / "copy", trial)
        (trial / "rocksdb" / log.name).write_bytes(whole[: int(len(whole) * share)])
        cut = RocksStore.open(trial, IDENTITY, TABLES)
        positions.add(cut.position.source_next)
        assert content(cut) == expected(cut.position.source_next)
        cut.close()
    assert positions >= {0, 100}
    assert len(positions) == 7


def test_wherever_the_log_ends_in_a_commit_all_of_it_is_there_or_nothing(tmp_path: Path) -> None:
    """Values, position and number are one record of the log: no end of it has the ones without the others."""
    store = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    store.apply(*commit(1))
    (log,) = (tmp_path / "store" / "rocksdb").glob("*.log")
    begins = log.stat().st_size
    store.apply(*commit(2))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    store.close()
    whole = (tmp_path / "copy" / "rocksdb" / log.name).read_bytes()
    reached = []
    spread, tail = range(begins, len(whole), len(whole) // 20), range(len(whole) - 512, len(whole), CUT_EVERY_BYTES)
    for end in (*spread, *tail, len(whole)):
        trial = tmp_path / "trial"
        shutil.copytree(tmp_path / "copy", trial)
        (trial / "rocksdb" / log.name).write_bytes(whole[:end])
        cut = RocksStore.open(trial, IDENTITY, TABLES)
        reached.append(cut.position.source_next)
        assert content(cut) == expected(cut.position.source_next), end - begins
        cut.close()
        shutil.rmtree(trial)
    assert reached == [1] * (len(reached) - 1) + [2]


def test_a_restore_killed_between_ingest_and_position_keeps_its_mark_and_can_be_done_again(tmp_path: Path) -> None:
    child = start(tmp_path / "store", "restore")
    assert child.wait() == -9
    store = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    assert store.restoring is not None
    assert store.position.changelog_next == dict.fromkeys(TABLES, 40), "the position of the chunk before"
    assert store.get("a", b"000007") == _chunk(2)["a"][b"000007"], "the ingest must have come first"
    with pytest.raises(StateUnusable):
        store.checkpoint(tmp_path / "copy")
    end = Position(99, dict.fromkeys(TABLES, 99), 2)
    store.restore_rows(_chunk(2), end, done=True)
    assert store.position == end
    assert content(store) == _chunk(2)
    assert not (tmp_path / "store" / "ingest").exists()
    store.close()


def test_a_manifest_that_lost_its_tail_is_noticed_wherever_it_ends(tmp_path: Path) -> None:
    store = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    for number in range(1, 11):
        store.apply(*commit(number))
    store.checkpoint(tmp_path / "copy")
    for number in range(11, 21):
        store.apply(*commit(number))
    shutil.copytree(tmp_path / "store", tmp_path / "running")
    store.close()
    (manifest,) = (tmp_path / "running" / "rocksdb").glob("MANIFEST-*")
    whole = manifest.read_bytes()
    verdicts: Counter[str] = Counter()
    for end in range(0, len(whole), len(whole) // 40):
        victim = tmp_path / "trial"
        shutil.copytree(tmp_path / "running", victim)
        (victim / "rocksdb" / manifest.name).write_bytes(whole[:end])
        verdicts[_verdict(victim, f"cut at {end} of {len(whole)}", last=20)] += 1
        shutil.rmtree(victim)
    assert verdicts["unusable"] > 30


@pytest.mark.parametrize("kind", ["MANIFEST-*", "*.log"])
def test_a_record_of_a_type_that_rocksdb_never_gets_past_is_noticed_before_it_reads_it(
    tmp_path: Path, kind: str
) -> None:
    store = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    for number in range(1, 11):
        store.apply(*commit(number))
    shutil.copytree(tmp_path / "store", tmp_path / "running")
    store.close()
    (log,) = (path for path in (tmp_path / "running" / "rocksdb").glob(kind) if path.stat().st_size)
    data = bytearray(log.read_bytes())
    second = 7 + int.from_bytes(data[4:6], "little")
    assert data[second + 6] == 1, "a whole record"
    data[second + 6] = 5
    log.write_bytes(data)
    with pytest.raises(StateUnusable, match="damaged"):
        RocksStore.open(tmp_path / "running", IDENTITY, TABLES)


def test_the_ring_of_writes_goes_round_and_keeps_the_log_short(tmp_path: Path) -> None:
    store = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    for number in range(1, RING + FLUSH_EVERY + 100):
        store.apply(WriteSet({"a": {b"k": b"%d" % number}}), Position(number))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    store.close()
    assert sum(path.stat().st_size for path in (tmp_path / "copy" / "rocksdb").glob("*.log")) < 200 * FLUSH_EVERY
    store = RocksStore.open(tmp_path / "copy", IDENTITY, TABLES)
    assert store.position.source_next == RING + FLUSH_EVERY + 99
    store.close()


def _verdict(directory: Path, told: str, last: int) -> str:
    try:
        store = RocksStore.open(directory, IDENTITY, TABLES)
        try:
            number = check(store)
        finally:
            store.close()
    except StateUnusable:
        return "unusable"
    except WrongValue as error:
        raise AssertionError(told) from error
    return "same" if number == last else "older prefix"
