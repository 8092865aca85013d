"""What the host's consumer reads and hands over around a rebalance; Kafka is played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from faust.types import TP

from pipeline.faust_host.consumer import HostConsumer
from pipeline.faust_host.host import HostApp

SOURCE, OTHER, CHANGELOG = TP("readings", 0), TP("readings", 1), TP("app-table-changelog", 0)
ALL = {SOURCE, OTHER, CHANGELOG}


class PlayedThread:
    """Stands in for the thread that Faust's consumer talks to Kafka from."""

    def __init__(self, committed: dict[TP, int | None]) -> None:
        self.reads: list[Collection[TP]] = []
        self.moved: list[TP] = []
        self.answer: asyncio.Future[dict[TP, list[str]]] = asyncio.get_running_loop().create_future()
        self._committed = committed

    async def getmany(self, active_partitions: Collection[TP], _timeout: float) -> dict[TP, list[str]]:
        self.reads.append(active_partitions)
        return await self.answer

    async def seek_to_committed(self) -> dict[TP, int | None]:
        self.moved += [each for each, offset in self._committed.items() if offset]
        return self._committed

    async def seek_to_beginning(self, *partitions: Any) -> None:
        self.moved += [TP(*each) for each in partitions]

    def assignment(self) -> set[TP]:
        return set(self._committed)


def played(play: Callable[[HostConsumer, PlayedThread], Awaitable[None]], **committed: int) -> None:
    """Run a scene with a consumer whose group committed these offsets of `source` and `other`."""

    async def scene() -> None:
        app = HostApp("app", broker="kafka://nowhere", store="memory://")
        app.tables._changelogs[CHANGELOG.topic] = object()
        consumer = app.transport.create_consumer(
            callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
        )
        assert isinstance(consumer, HostConsumer)
        offsets = {SOURCE: committed.get("source"), OTHER: committed.get("other"), CHANGELOG: None}
        thread = PlayedThread(offsets)
        consumer._thread = thread
        await play(consumer, thread)

    asyncio.run(scene())


async def nothing(*_arguments: object) -> None:
    pass


def records(*partitions: TP) -> dict[TP, list[str]]:
    return {each: ["a record"] for each in partitions}


async def read(consumer: HostConsumer, active: set[TP]) -> asyncio.Task[dict[TP, list[str]]]:
    """A read that has come to where it waits."""
    task = asyncio.create_task(consumer._getmany(active, 1.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


def test_before_the_seek_only_changelogs_are_read() -> None:
    async def play(consumer: HostConsumer, thread: PlayedThread) -> None:
        thread.answer.set_result({})
        consumer.resume_partitions(ALL)
        await consumer._getmany(ALL, 1.0)
        assert thread.reads == [{CHANGELOG}]
        assert await consumer._getmany({SOURCE}, 1.0) == {}
        assert thread.reads == [{CHANGELOG}]
        await consumer.perform_seek()
        await consumer._getmany(ALL, 1.0)
        assert thread.reads[-1] == ALL

    played(play)


def test_a_read_asks_for_what_was_wanted_when_it_began() -> None:
    async def play(consumer: HostConsumer, thread: PlayedThread) -> None:
        active = {CHANGELOG}
        reading = await read(consumer, active)
        active.clear()  # as Faust's pause does, and aiokafka would take it for all
        assert thread.reads == [{CHANGELOG}]
        thread.answer.set_result(records(CHANGELOG))
        assert await reading == records(CHANGELOG)

    played(play)


def test_a_seek_waits_for_the_read_that_is_under_way_and_what_that_brings_is_not_handed_over() -> None:
    async def play(consumer: HostConsumer, thread: PlayedThread) -> None:
        await consumer.perform_seek()
        thread.moved.clear()
        reading = await read(consumer, ALL)
        seeking = asyncio.create_task(consumer.perform_seek())
        await asyncio.sleep(0)
        assert not thread.moved
        thread.answer.set_result(records(SOURCE, CHANGELOG))
        assert await reading == records(CHANGELOG)
        await seeking
        assert set(thread.moved) == {SOURCE, OTHER}

    played(play, source=5)


def test_what_a_rebalance_overtakes_is_not_handed_over() -> None:
    async def play(consumer: HostConsumer, thread: PlayedThread) -> None:
        await consumer.perform_seek()
        reading = await read(consumer, ALL)
        consumer.resume_partitions({SOURCE})
        thread.answer.set_result(records(SOURCE, OTHER))
        assert await reading == {}

    played(play)


def test_a_partition_without_a_commit_goes_to_its_beginning_and_changelogs_stay() -> None:
    async def play(consumer: HostConsumer, thread: PlayedThread) -> None:
        await consumer.perform_seek()
        assert thread.moved == [SOURCE, OTHER]

    played(play, source=5)
