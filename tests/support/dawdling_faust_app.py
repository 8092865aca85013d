"""The Faust host with the moments drawn out in which Faust's own consumer loses records.

A read takes its time to begin, and when tables are restored it takes a while until the source partitions are resumed:
so a read that began for changelogs goes on when those are paused. And the group's commits are long in coming: so there
is time to read between the seek of one partition and that of the last.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from pipeline.faust_host.app import app

__all__ = ["app"]

_fetch_records = AIOKafkaConsumerThread._fetch_records
_committed = AIOKafkaConsumer.committed


async def fetch_late(thread: Any, *arguments: Any, **named: Any) -> Any:
    await asyncio.sleep(0.3)
    return await _fetch_records(thread, *arguments, **named)


async def answer_late(consumer: Any, partition: Any) -> Any:
    await asyncio.sleep(0.3)
    return await _committed(consumer, partition)


async def resume_late(*_arguments: Any, **_named: Any) -> None:
    await asyncio.sleep(1)


AIOKafkaConsumerThread._fetch_records = fetch_late
AIOKafkaConsumer.committed = answer_late
app.on_rebalance_complete.connect(resume_late, weak=False)
