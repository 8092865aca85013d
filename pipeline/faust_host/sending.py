"""Outputs and dead letters, through Faust's producer: sent soon, in order, and known by their futures."""

from __future__ import annotations

import time
from asyncio import Future
from typing import Any

from operators.api import Output, Record, Refusal
from operators.topology import DEAD_LETTERS, Stage
from pipeline.partitioning import partition_of
from pipeline.runtime.outbox import DETAIL_LIMIT
from pipeline.runtime.refusals import RefusalCount
from pipeline.settings import Settings
from schemas.dead_letter import DeadLetter


def raw_topic(app: Any, name: str) -> Any:
    """A topic of bytes; Faust needs to be told twice."""
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


class Sending:
    """Sends to the topics that a stage declared, and its refusals to the dead letters."""

    def __init__(self, app: Any, settings: Settings, stage: Stage, partitions: int) -> None:
        self._topics = {name: raw_topic(app, settings.prefix + name) for name in (*stage.outputs, DEAD_LETTERS)}
        self._partitions = partitions
        self._stage = stage.name
        self._source = settings.prefix + stage.source
        self._settings = settings
        self._counts: dict[int, RefusalCount] = {}

    def send(self, output: Output) -> Future[Any]:
        """Raises KeyError for a topic that the stage did not declare."""
        future: Future[Any] = self._topics[output.topic].send_soon(
            key=output.key,
            value=output.value,
            partition=partition_of(output.key, self._partitions),
            timestamp=_seconds(output.timestamp_ms),
        )
        return future

    def refuse(self, record: Record, reason: str, detail: str) -> Future[Any]:
        """Keep a refused record whole. Raises RefusalLimit when it is one too many."""
        count = self._count(record.partition)
        where = f"{self._source}/{record.partition}@{record.offset}"
        count.refuse(record.offset, reason, detail, where)
        letter = DeadLetter(
            key=record.key,
            value=record.value,
            reason=reason,
            detail=detail[:DETAIL_LIMIT],
            origin_topic=self._source,
            origin_topic_id=record.topic_id,
            origin_partition=record.partition,
            origin_offset=record.offset,
            time=time.time_ns() // 1_000_000,
            stage=self._stage,
        )
        future: Future[Any] = self._topics[DEAD_LETTERS].send_soon(
            key=letter.key, value=letter.value, timestamp=_seconds(record.timestamp_ms), headers=letter.headers()
        )
        return future

    def outcome(self, record: Record, outcome: Output | Refusal) -> Future[Any]:
        if isinstance(outcome, Refusal):
            return self.refuse(record, outcome.reason, outcome.detail)
        return self.send(outcome)

    def _count(self, partition: int) -> RefusalCount:
        if partition not in self._counts:
            settings = self._settings
            self._counts[partition] = RefusalCount(settings.refusal_run, settings.refusal_window)
        return self._counts[partition]


def _seconds(timestamp_ms: int) -> float | None:
    """For Faust, which multiplies by 1,000 and cuts: half a millisecond more arrives as what it was."""
    return (timestamp_ms + 0.5) / 1000 if timestamp_ms >= 0 else None
