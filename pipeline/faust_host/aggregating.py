"""The aggregate stage as an agent with two tables: ledgers of devices, and rows of device-windows."""

from __future__ import annotations

from asyncio import Future
from typing import Any

from operators.api import Record
from operators.device import DEVICE_STATE, DEVICE_WINDOWS
from operators.topology import AggregateStage
from pipeline.faust_host.acknowledge import Entry, when_sent
from pipeline.faust_host.fold import Folding
from pipeline.faust_host.ledger import Effect
from pipeline.faust_host.sending import Sending, raw_topic
from pipeline.faust_host.stage import StageInput

ROCKSDB_OPTIONS = {
    # Faust's own default is a block cache of 2 GiB, a partition and table.
    "block_cache_size": 16 * 1024 * 1024,
    "write_buffer_size": 16 * 1024 * 1024,
}


class KnownTable:
    """A Faust table that tells when a change is in its changelog."""

    def __init__(self, app: Any, name: str, partitions: int) -> None:
        self._table = app.Table(
            name, key_type=bytes, value_type=bytes, partitions=partitions, options=dict(ROCKSDB_OPTIONS)
        )

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._table.get(key)
        return value

    def write(self, key: bytes, value: bytes | None) -> Future[Any]:
        """Put, or delete for None: in RocksDB now, in the changelog once the future is done."""
        if value is None:
            del self._table[key]
        else:
            self._table[key] = value
        sent: Future[Any] = self._table.sent
        return sent


class _Aggregating:
    def __init__(self, app: Any, stage: AggregateStage, source: StageInput, sending: Sending, partitions: int) -> None:
        self._folding = Folding(stage, partitions)
        self._devices = KnownTable(app, DEVICE_STATE, partitions)
        self._windows = KnownTable(app, DEVICE_WINDOWS, partitions)
        self._source = source
        self._sending = sending

    def take(self, event: Any) -> None:
        record, entry = self._source.begin(event)
        stored = None if record.key is None else self._devices.get(record.key)
        step = self._folding.step(record, stored, self._windows.get, self._source.settled(record.partition))
        sent = [] if step.value is None or record.key is None else [self._devices.write(record.key, step.value)]
        when_sent(sent, lambda: self._carry_out(record, step.effect, entry))

    def _carry_out(self, record: Record, effect: Effect | None, entry: Entry) -> None:
        """Make an effect visible, now that the changelog knows of it.

        The tables ask for the present event, which Faust knows by a weak reference only: the entry keeps it alive.
        """
        sent: list[Future[Any]] = []
        if effect is not None:
            sent += [self._windows.write(key, row) for key, row in effect.rows.items()]
            sent += [self._sending.send(result) for result in effect.results]
            if effect.refusal is not None:
                sent.append(self._sending.refuse(record, *effect.refusal))
        when_sent(sent, entry.complete)


def host_aggregate(app: Any, stage: AggregateStage, source: StageInput, sending: Sending, partitions: int) -> None:
    """Each record is folded into its device's ledger; `pipeline.faust_host.ledger` has the rules."""
    aggregating = _Aggregating(app, stage, source, sending, partitions)

    async def aggregate(stream: Any) -> None:
        async for event in stream.noack().events():
            aggregating.take(event)

    app.agent(raw_topic(app, source.topic), name=stage.name)(aggregate)
