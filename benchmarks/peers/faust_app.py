"""Faust at the suite's workloads; run by the peers' own Python: `faust -A benchmarks.peers.faust_app worker`.

WORK, SERVERS, GROUP, SOURCE, SOURCE_ID, OUTPUT and UNITS come from the environment, each with BENCHMARK_ before it.
"""

from __future__ import annotations

import os
from typing import Any

import faust

from benchmarks.peers import plain

PARTITIONS = 4
COMMIT_INTERVAL_S = 1.0
TABLE_OPTIONS = {
    # Its own default is a block cache of 2 GiB, for each partition and table.
    "block_cache_size": 16 * 1024 * 1024,
    "write_buffer_size": 16 * 1024 * 1024,
}

_GIVEN = {name: os.environ[f"BENCHMARK_{name}"] for name in ("WORK", "SERVERS", "GROUP", "SOURCE", "SOURCE_ID")}

app = faust.App(
    _GIVEN["GROUP"],
    broker=f"kafka://{_GIVEN['SERVERS']}",
    store="rocksdb://",
    topic_partitions=PARTITIONS,
    # Its own creation of topics races with its assignment, and may leave a worker with no partitions.
    topic_allow_declare=False,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    broker_commit_interval=COMMIT_INTERVAL_S,
    producer_max_batch_size=1_000_000,
    producer_compression_type="lz4",
    web_enabled=False,
)
source = app.topic(_GIVEN["SOURCE"], key_type=bytes, value_serializer="json")
output = app.topic(os.environ["BENCHMARK_OUTPUT"], key_type=bytes, value_serializer="json")


class Announced:
    """Says when the first record has come."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self) -> None:
        if not self._said:
            self._said = True
            os.write(1, b"began\n")  # Faust has put its logger in place of standard output


began = Announced()


def table(name: str) -> Any:
    return app.Table(name, key_type=bytes, partitions=PARTITIONS, options=dict(TABLE_OPTIONS))


async def normalise(stream: Any) -> None:
    units = plain.read_units(os.environ["BENCHMARK_UNITS"])
    source_id = _GIVEN["SOURCE_ID"]
    async for event in stream.events():
        began()
        message = event.message
        origin = [source_id, message.partition, message.offset]
        timestamp_ms = int(message.timestamp * 1000)
        reading = plain.normalise(units, event.key.decode(), event.value, timestamp_ms, origin)
        if reading is not None:
            await output.send(key=event.key, value=reading)


async def statistics(stream: Any) -> None:
    async for event in stream.events():
        began()
        key, reading = event.key, event.value
        if reading["device_id"].encode() == key:
            row = plain.fold_statistics(rows.get(key), reading)
            if row is not None:
                rows[key] = row


async def windows(stream: Any) -> None:
    async for event in stream.events():
        began()
        key, reading = event.key, event.value
        if reading["device_id"].encode() == key:
            row, closed = plain.fold_windows(rows.get(key), reading)
            if row is not None:
                rows[key] = row
            for result in closed:
                await output.send(key=key, value=result)


async def devices(stream: Any) -> None:
    async for event in stream.events():
        began()
        key, reading = event.key, event.value
        if reading["device_id"].encode() != key:
            continue

        def keep(name: str, result: plain.Document, key: bytes = key) -> None:
            results[key + b"/" + name.encode()] = result

        def drop(name: str, key: bytes = key) -> None:
            results.pop(key + b"/" + name.encode(), None)

        row, closed = plain.fold_device(rows.get(key), reading, keep, drop)
        if row is not None:
            rows[key] = row
        for result in closed:
            await output.send(key=key, value=result)


_AGENTS = {"a": normalise, "b": statistics, "c": windows, "d": devices}

if _GIVEN["WORK"] != "a":
    rows = table("rows")
if _GIVEN["WORK"] == "d":
    results = table("results")
app.agent(source)(_AGENTS[_GIVEN["WORK"]])
