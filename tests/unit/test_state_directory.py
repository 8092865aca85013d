"""Where stores live, who holds them, and what becomes of those that cannot be trusted."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Misconfigured, StateLocked
from pipeline.state.api import StoreIdentity
from pipeline.state.directory import QUARANTINES_KEPT, StateDirectory, remove_stores
from pipeline.state.rocks import RocksStore


def open_store(directory: StateDirectory, partition: int) -> RocksStore:
    return RocksStore.open(directory.partition(partition), StoreIdentity("app", "1", partition, {"t": "x"}, "s"), ["t"])


def test_a_worker_comes_back_to_the_directory_of_its_id(tmp_path: Path) -> None:
    first = StateDirectory.claim(tmp_path, "app", "w-1")
    first.release()
    again = StateDirectory.claim(tmp_path, "app", "w-1")
    assert again.path == first.path == tmp_path / "app" / "w-1"
    assert StateDirectory.claim(tmp_path, "app", "w-2").path != again.path


def test_two_workers_of_one_id_do_not_share(tmp_path: Path) -> None:
    held = StateDirectory.claim(tmp_path, "app", "w-1")
    with pytest.raises(StateLocked, match="pid"):
        StateDirectory.claim(tmp_path, "app", "w-1")
    held.release()


def test_workers_without_an_id_take_seats_that_are_free(tmp_path: Path) -> None:
    one, two = (StateDirectory.claim(tmp_path, "app", None) for _ in range(2))
    assert one.path != two.path
    one.release()
    assert StateDirectory.claim(tmp_path, "app", None).path == one.path


def test_everything_is_for_this_user_alone(tmp_path: Path) -> None:
    (tmp_path / "data" / "app").mkdir(parents=True)
    (tmp_path / "data" / "app").chmod(0o777)
    directory = StateDirectory.claim(tmp_path / "data", "app", "w")
    open_store(directory, 0).close()
    for path in (directory.path, directory.path.parent, directory.partition(0)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_link_that_somebody_laid_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "app").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Misconfigured):
        StateDirectory.claim(tmp_path, "app", "w")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@given(name=st.text(max_size=300) | st.sampled_from(["..", ".", "a/b", "/etc", "a\0b", "a\u2215b", "x" * 10_000, "~0"]))
def test_no_name_leads_out_of_the_data_directory(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "names"
    try:
        directory = StateDirectory.claim(root, "app", name)
    except Misconfigured:
        return
    directory.release()
    assert directory.path.resolve().parent == (root / "app").resolve()


def test_a_store_in_quarantine_says_why_and_leaves_its_place_free(tmp_path: Path) -> None:
    directory = StateDirectory.claim(tmp_path, "app", "w")
    assert directory.quarantined() == 0
    open_store(directory, 3).close()
    moved = directory.quarantine(3, "a block was bad")
    assert moved is not None
    assert (moved / "WHY").read_text() == "a block was bad\n"
    assert (moved / "identity").exists()
    assert not directory.partition(3).exists()
    open_store(directory, 3).close()


def test_a_few_quarantined_stores_are_kept_and_no_more(tmp_path: Path) -> None:
    directory = StateDirectory.claim(tmp_path, "app", "w")
    moved = []
    for number in range(QUARANTINES_KEPT + 2):
        open_store(directory, 1).close()
        moved.append(directory.quarantine(1, f"reason {number}"))
    assert [path for path in moved if path and path.exists()] == moved[2:]
    assert directory.quarantined() == QUARANTINES_KEPT


def test_an_open_store_is_neither_moved_nor_removed(tmp_path: Path) -> None:
    directory = StateDirectory.claim(tmp_path, "app", "w")
    held = open_store(directory, 1)
    with pytest.raises(StateLocked):
        directory.quarantine(1, "why")
    with pytest.raises(StateLocked):
        directory.remove(1)
    held.close()
    directory.remove(1)
    directory.remove(1)
    assert not directory.partition(1).exists()
    assert directory.quarantine(1, "why") is None


def test_removing_an_application_waits_for_no_worker_and_takes_no_other(tmp_path: Path) -> None:
    one, two = StateDirectory.claim(tmp_path, "app", "w-1"), StateDirectory.claim(tmp_path, "app", None)
    other = StateDirectory.claim(tmp_path, "other", "w-1")
    one.release()
    with pytest.raises(StateLocked):
        remove_stores(tmp_path, "app")
    assert one.path.exists()
    two.release()
    assert remove_stores(tmp_path, "app") == sorted([one.path, two.path])
    assert not (tmp_path / "app").exists()
    assert other.path.exists()
    assert remove_stores(tmp_path, "app") == []
