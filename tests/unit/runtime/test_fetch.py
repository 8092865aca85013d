"""The fetcher: what it finds worth asking for, and that nothing of it is lost between its thread and the loop's."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from pipeline.errors import StateUnusable
from pipeline.log.api import TopicPartition
from pipeline.log.memory import MemoryCluster
from pipeline.log.memory.admin import MemoryAdmin
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.fetch import WORTH_RECORDS, Fetcher
from pipeline.state.api import Position, StoreIdentity
from pipeline.state.directory import StateDirectory
from tests.support.waiting import eventually

HERE: dict[TopicPartition, int] = {TopicPartition("changelog", 0): 0}


def identity(partition: int) -> StoreIdentity:
    return StoreIdentity("words-count", "1", partition, {"words": "id"}, "id-in")


class FarEnd(MemoryAdmin):
    """A cluster whose changelogs end where a test says."""

    def __init__(self, end: int) -> None:
        super().__init__(MemoryCluster())
        self.end = end

    def high_watermarks(self, partitions: object) -> dict[TopicPartition, int]:  # noqa: ARG002
        return dict.fromkeys(HERE, self.end)


class Peer:
    """`Donors`: gives a directory, or fails, each time when it is let."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.may = {0: Event(), 1: Event()}
        self.fails = False

    def fetch(self, identity: StoreIdentity, beyond: int, into: Path) -> Position | None:
        self.asked.append((identity.partition, beyond))
        assert self.may[identity.partition].wait(30)
        if self.fails:
            raise StateUnusable("not what was promised")
        into.mkdir()
        (into / "of").write_text(str(identity.partition))
        return Position(1, {"words": 90_000})


def _fetcher(
    tmp_path: Path, peer: Peer, end: int = 2 * WORTH_RECORDS
) -> tuple[Fetcher, StateDirectory, list[CrashPoint]]:
    stores = StateDirectory.claim(tmp_path, "words-count", "a0")
    reached: list[CrashPoint] = []
    return Fetcher(peer, stores, FarEnd(end), lambda point, _folded=0: reached.append(point)), stores, reached


def _ended(fetcher: Fetcher) -> list[tuple[int, Path | None]]:
    """What has come of one search."""
    found: list[tuple[int, Path | None]] = []

    def some() -> bool:
        found.extend(fetcher.take_ended())
        return bool(found)

    eventually(some, "a search has ended")
    return found


def test_each_search_comes_to_an_end_that_the_loop_hears_of(tmp_path: Path) -> None:
    peer = Peer()
    fetcher, _, _ = _fetcher(tmp_path, peer)
    for partition in (0, 1):
        fetcher.want(identity(partition), HERE)
    peer.may[0].set()
    ended: list[int] = []

    def heard(partition: int) -> bool:
        ended.extend(partition for partition, _ in fetcher.take_ended())
        return partition in ended

    eventually(lambda: heard(0), "the first is heard of")
    # The second is under way by now; what the loop has taken must not take its end along.
    eventually(lambda: len(peer.asked) == 2, "the second is asked for")
    peer.may[1].set()
    eventually(lambda: heard(1), "the second is heard of")
    assert ended == [0, 1]
    fetcher.stop()


def test_what_is_received_takes_the_place_of_the_store(tmp_path: Path) -> None:
    peer = Peer()
    fetcher, stores, reached = _fetcher(tmp_path, peer)
    stores.partition(0).mkdir()
    (stores.partition(0) / "old").touch()
    fetcher.want(identity(0), HERE)
    peer.may[0].set()
    ((_, received),) = _ended(fetcher)
    assert received is not None
    fetcher.place(0, received)
    assert [path.name for path in stores.partition(0).iterdir()] == ["of"]
    assert reached == [CrashPoint.RECEIVED]
    assert peer.asked == [(0, WORTH_RECORDS)]
    fetcher.stop()


def test_what_a_peer_fails_with_leaves_the_restore_to_the_changelogs(tmp_path: Path) -> None:
    peer = Peer()
    peer.fails = True
    fetcher, _, _ = _fetcher(tmp_path, peer)
    fetcher.want(identity(0), HERE)
    peer.may[0].set()
    assert _ended(fetcher) == [(0, None)]
    fetcher.stop()


def test_nobody_is_asked_where_the_changelogs_hold_little(tmp_path: Path) -> None:
    peer = Peer()
    fetcher, _, _ = _fetcher(tmp_path, peer, end=WORTH_RECORDS - 1)
    fetcher.want(identity(0), HERE)
    assert _ended(fetcher) == [(0, None)]
    assert not peer.asked
    fetcher.stop()


def test_what_comes_for_a_partition_that_has_left_is_thrown_away(tmp_path: Path) -> None:
    peer = Peer()
    fetcher, stores, _ = _fetcher(tmp_path, peer)
    fetcher.want(identity(0), HERE)
    eventually(lambda: bool(peer.asked), "it is asked for")
    fetcher.cancel(0)
    peer.may[0].set()
    incoming = stores.incoming(0).parent
    eventually(lambda: any(incoming.iterdir()), "it has come")
    eventually(lambda: not fetcher.take_ended() and not any(incoming.iterdir()), "it is gone")
    fetcher.stop()


def test_what_a_dead_worker_had_not_received_whole_is_cleared_away(tmp_path: Path) -> None:
    stores = StateDirectory.claim(tmp_path, "words-count", "a0")
    left = stores.incoming(0)
    left.mkdir()
    stores.release()
    StateDirectory.claim(tmp_path, "words-count", "a0")
    assert not left.exists()
