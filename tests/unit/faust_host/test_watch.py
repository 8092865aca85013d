"""The watch beside an app that is played by hand: what makes it end the process, and what does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from pipeline.errors import Retryable
from pipeline.faust_host import watch as watching
from pipeline.faust_host.exits import RESTARTABLE, STALLED
from pipeline.faust_host.watch import LAPS, Watch
from pipeline.log.api import TopicPartition

PARTITION = TopicPartition("readings", 1)
RESTORE_LOOKS = 30


class Ended(BaseException):
    """Instead of the process."""


class PlayedKafka:
    """A source partition, of which the worker's group has committed five records."""

    topic = PARTITION.topic

    def __init__(self) -> None:
        self.end = 5
        self.away = False
        self.taken: int | None = None
        self.under_way = False

    def high_watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self.brokers()
        return dict.fromkeys(partitions, self.end)

    def brokers(self) -> int:
        if self.away:
            raise Retryable("nobody answers")
        return 1

    def expected(self, _partition: TopicPartition) -> int | None:
        return self.taken

    def begins(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 5)


class World:
    def __init__(self) -> None:
        self.done = 0
        """How many looks there were."""
        self.kafka = PlayedKafka()
        self.missing = 0
        self.app = SimpleNamespace(
            should_stop=False,
            rebalancing=False,
            rebalancing_count=1,
            in_recovery=False,
            consumer=SimpleNamespace(assignment=lambda: {PARTITION, TopicPartition("app-table-changelog", 1)}),
            tables=SimpleNamespace(recovery=SimpleNamespace(active_remaining_total=lambda: self.missing)),
        )
        played: Any = self.kafka
        self.watch = Watch(self.app, played, [played])

    def looks(self, count: int) -> bool:
        """Whether the process ends within so many looks."""

        async def run() -> bool:
            looked = asyncio.create_task(self.watch.run())
            before = self.done
            while self.done < before + count and not looked.done():
                await asyncio.sleep(0)
            if looked.done():
                assert isinstance(looked.exception(), Ended)
                return True
            looked.cancel()
            return False

        return asyncio.run(run())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    look = Watch._look

    async def counted(watch: Watch) -> None:
        try:
            await look(watch)
        finally:
            world.done += 1

    def stop(code: int, why: str, _error: object = None) -> NoReturn:
        logging.getLogger(__name__).critical("%s; exit code %d", why, code)
        raise Ended

    monkeypatch.setattr(watching, "LOOK_S", 0)
    monkeypatch.setattr(watching, "RESTORE_LOOKS", RESTORE_LOOKS)
    monkeypatch.setattr(watching, "stop", stop)
    monkeypatch.setattr(Watch, "_look", counted)
    return world


def test_a_partition_with_records_beyond_the_commit_of_which_none_comes_ends_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert not world.looks(2 * LAPS)
    world.kafka.end = 7
    assert world.looks(2 * LAPS)
    where = "records wait in readings partition 1 and are not handed over: expected offset 5, end 7"
    assert f"{where}; exit code {STALLED}" in caplog.text
    assert STALLED in RESTARTABLE


def test_records_that_were_handed_over_and_wait_for_kafka_do_not(world: World) -> None:
    world.kafka.taken, world.kafka.end, world.kafka.under_way = 6, 7, True
    assert not world.looks(3 * LAPS)


def test_a_kafka_that_is_away_does_not_and_is_told_of_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.kafka.end = 7
    for _ in range(3):
        assert not world.looks(LAPS - 1)
        world.kafka.away = True
        assert not world.looks(3)
        world.kafka.away = False
    assert caplog.text.count("cannot see whether records wait") == 3


def test_a_rebalance_begins_the_count_anew(world: World) -> None:
    world.kafka.end = 7
    for _ in range(3):
        assert not world.looks(LAPS - 1)
        world.app.rebalancing_count += 1
    assert world.looks(2 * LAPS)


def test_a_restore_may_take_as_long_as_it_moves(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.kafka.end, world.app.in_recovery = 7, True
    for _ in range(3):
        world.missing += 1
        assert not world.looks(RESTORE_LOOKS - 1)
    assert world.looks(2)
    assert "a rebalance does not end: 3 records" in caplog.text


def test_a_worker_that_stops_is_left_alone(world: World) -> None:
    world.kafka.end, world.app.should_stop = 7, True
    assert not world.looks(3 * LAPS)
