"""One record into one ledger: the device aggregate over tables that live inside the ledger. Knows nothing of Faust."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from operators.api import Aggregate, Record, Refusal, Table, TaskContext
from operators.device import DEVICE_STATE, DEVICE_WINDOWS, ORIGINS
from operators.topology import AggregateStage
from pipeline.errors import Misconfigured
from pipeline.faust_host.ledger import Effect, Ledger, decode, encode
from pipeline.partitioning import partition_of
from pipeline.state.envelope import seal, unseal
from schemas.state import DeviceRow, WindowRow

TABLES = frozenset({DEVICE_STATE, DEVICE_WINDOWS, ORIGINS})


class Step(NamedTuple):
    """What a record asks for: first the value, then the effect."""

    value: bytes | None
    """The device's ledger, to be written; None leaves it as it is."""
    effect: Effect | None


class Folding:
    """The aggregate stage, record by record; every record is a commit of its own."""

    def __init__(self, stage: AggregateStage, partitions: int) -> None:
        self._stage = stage
        self._contexts = [TaskContext(number, self._owner(number, partitions)) for number in range(partitions)]
        self._window_codec = stage.table(DEVICE_WINDOWS).value

    @staticmethod
    def _owner(partition: int, partitions: int) -> Callable[[bytes], bool]:
        return lambda key: partition_of(key, partitions) == partition

    def step(self, record: Record, stored: bytes | None, window: Callable[[bytes], bytes | None], settled: int) -> Step:
        """Fold a record. `stored` is the ledger of its key; `window` gives stored rows of device-windows.

        `settled`: the effects of records up to this offset are in Kafka. Raises Misconfigured for a ledger of another
        source topic, StateUnusable or ValueError for one that is damaged.
        """
        ledger = Ledger(record.topic_id, -1, {}, None, []) if stored is None else decode(stored)
        if ledger.source != record.topic_id:
            raise Misconfigured(
                "the state was folded from a source topic that is gone; its offsets mean nothing in the present one",
                hint="start anew under another --prefix",
                topic_id=ledger.source,
            )
        if record.offset <= ledger.position:
            return self._again(record, stored, ledger)
        unsettled = [effect for effect in ledger.unsettled if effect.offset > settled]
        devices = _Cell(ledger.device)
        windows = _WindowRows(self._window_codec, ledger.unsettled, window)
        origins = _Origins(ledger.origins)
        outcome = self._operator(record.partition, devices, windows, origins).fold(record)
        refusal = (outcome.reason, outcome.detail) if isinstance(outcome, Refusal) else None
        results = [] if outcome is None or isinstance(outcome, Refusal) else list(outcome)
        effect = None
        if windows.changed or results or refusal:
            effect = Effect(record.offset, windows.changed, results, refusal)
            unsettled.append(effect)
        if not devices.touched and (effect is None or ledger.device is None):
            return Step(None, effect)  # repeated, or refused for the record alone: nothing to remember
        written = Ledger(record.topic_id, record.offset, ledger.origins, devices.value, unsettled)
        return Step(encode(written), effect)

    def _again(self, record: Record, stored: bytes | None, ledger: Ledger) -> Step:
        """A record that the ledger includes: write that once more, and carry out what may not have been."""
        effect = next((each for each in ledger.unsettled if each.offset == record.offset), None)
        if effect is None:
            nothing = self._operator(
                record.partition, _Cell(None), _WindowRows(self._window_codec, [], _no_row), _Origins({})
            )
            outcome = nothing.fold(record)
            if isinstance(outcome, Refusal):  # known by the record alone, so it was not remembered
                effect = Effect(record.offset, {}, [], (outcome.reason, outcome.detail))
        return Step(stored, effect)

    def _operator(self, partition: int, devices: Table[Any], windows: Table[Any], origins: Table[Any]) -> Aggregate:
        tables = {DEVICE_STATE: devices, DEVICE_WINDOWS: windows, ORIGINS: origins}
        return self._stage.operator(tables, self._contexts[partition])


class _Cell:
    """Table device-state, of the one device at hand."""

    def __init__(self, value: DeviceRow | None) -> None:
        self.value = value
        self.touched = False

    def get(self, _key: bytes) -> DeviceRow | None:
        return self.value

    def put(self, _key: bytes, value: DeviceRow) -> None:
        self.value, self.touched = value, True

    def delete(self, _key: bytes) -> None:
        self.value, self.touched = None, True


class _WindowRows:
    """Table device-windows: what this fold changes, over what is unsettled, over what is stored."""

    def __init__(self, codec: Any, unsettled: Sequence[Effect], stored: Callable[[bytes], bytes | None]) -> None:
        self._codec = codec
        self._unsettled = unsettled
        self._stored = stored
        self.changed: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> WindowRow | None:
        data = self._find(key)
        return None if data is None else self._codec.decode(unseal(data))

    def put(self, key: bytes, value: WindowRow) -> None:
        self.changed[key] = seal(self._codec.encode(value))

    def delete(self, key: bytes) -> None:
        self.changed[key] = None

    def _find(self, key: bytes) -> bytes | None:
        if key in self.changed:
            return self.changed[key]
        for effect in reversed(self._unsettled):
            if key in effect.rows:
                return effect.rows[key]
        return self._stored(key)


class _Origins:
    """Table origins, of the one device at hand."""

    def __init__(self, rows: dict[bytes, int]) -> None:
        self._rows = rows

    def get(self, key: bytes) -> int | None:
        return self._rows.get(key)

    def put(self, key: bytes, value: int) -> None:
        self._rows[key] = value

    def delete(self, key: bytes) -> None:
        self._rows.pop(key, None)


def _no_row(_key: bytes) -> bytes | None:
    return None
