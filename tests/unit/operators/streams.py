"""Streams of readings, as unkind as devices are, and what the device aggregate makes of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from operators.api import Output, Record, Refusal, Table, TaskContext
from operators.device import DEVICE_STATE, DEVICE_WINDOWS, ORIGINS, DeviceAggregate
from operators.keys import split_origin_key
from operators.show import device_state, open_windows, window_result
from operators.testing import DictTable, everything
from schemas.reading import Origin, ReadingRecord, encode_reading
from schemas.state import DeviceRow, StateCodec, WindowRow
from tests.oracle import Parameters, ReadingsRecord

COMMIT = "commit"
ABORT = "abort"
"""Everything since the last commit is undone, and done again by a new operator."""


class Step(NamedTuple):
    """One thing that happens, relative to what the device's metric did before."""

    device: int
    metric: int
    ahead_ms: int
    """Event time, from the greatest one so far."""
    seq: int | None
    """From the greatest one so far; `RESET` begins anew."""
    value: float
    odd: str = ""
    """"" for a plain reading; or "unit", "repeat" (an origin that was there before), "forget", COMMIT, ABORT."""


RESET = 1_000_000

_AHEAD_MS = (0, 0, 1, 5, 10, 17, 30, 100, 500, 86_400_000, 10**11, *range(-60, 20, 4))
_SEQ = (1, 1, 1, 1, 1, 1, None, RESET, 2, 3, 62, 63, 64, 65, 2**45, -62, -63, -64, -65, *range(-8, 1))
_ODD = ("",) * 60 + (COMMIT, COMMIT, ABORT, "unit", "repeat", "forget")


def steps() -> st.SearchStrategy[list[Step]]:
    """Short streams, which shrink well."""
    few = st.integers(0, 1)
    value = st.floats(-1e15, 1e15)
    step = st.builds(Step, few, few, st.integers(-60, 60), st.sampled_from(_SEQ), value, st.sampled_from(_ODD))
    return st.lists(step, max_size=25)


def long_stream(seed: int) -> list[Step]:
    """A few hundred steps, mostly of one metric, so that they get far."""
    chance = random.Random(seed)
    far = chance.random() < 0.5  # else no jump in time lets all that is past expire at once
    return [
        Step(
            int(chance.random() < 0.1),
            int(chance.random() < 0.2),
            min(chance.choice(_AHEAD_MS), 10**12 if far else 100),
            chance.choice(_SEQ),
            chance.choice([0.0, 20.5, -3.0, chance.gauss(20, 5), chance.uniform(-1e15, 1e15)]),
            chance.choice(_ODD),
        )
        for _ in range(300)
    ]


Event = Record | str
"""A record, or COMMIT, or ABORT."""


def events(stream: Iterable[Step]) -> list[Event]:
    """The records that the steps come to, and when they are committed."""
    made: list[Event] = []
    clocks: dict[tuple[int, int], int] = {}
    numbers: dict[tuple[int, int], int] = {}
    offset = origin = 0
    for step in stream:
        key = f"d{step.device}".encode()
        if step.odd in (COMMIT, ABORT):
            made.append(step.odd)
            continue
        offset += 1
        if step.odd == "forget":
            made.append(Record(key, None, offset, "readings-id", 0, offset))
            continue
        who = (step.device, step.metric)
        event_time = max(0, clocks.get(who, 1_000) + step.ahead_ms)
        clocks[who] = max(clocks.get(who, 0), event_time)
        seq = None
        if step.seq is not None:
            seq = 0 if step.seq == RESET else min(max(0, numbers.get(who, -1) + step.seq), 2**53 - 1)
            numbers[who] = seq if step.seq == RESET else max(numbers.get(who, -1), seq)
        origin += step.odd != "repeat"
        reading = ReadingRecord(
            f"d{step.device}",
            f"m{step.metric}",
            step.value + 0.0,
            "V" if step.odd == "unit" else "degC",
            event_time,
            seq,
            None,
            Origin(f"telemetry-{origin // 40}", origin % 2, origin % 40),
        )
        made.append(Record(key, encode_reading(reading), event_time + offset, "readings-id", 0, offset))
    return made


def for_oracle(happened: Iterable[Event]) -> list[ReadingsRecord]:
    return [
        ReadingsRecord(
            record.partition,
            record.offset,
            record.key or b"",
            None if record.value is None else msgspec.json.decode(record.value),
        )
        for record in happened
        if isinstance(record, Record)
    ]


class Folded:
    """A device aggregate over tables in memory, and what came of it."""

    def __init__(self, parameters: Parameters, context: TaskContext = everything) -> None:
        self._parameters = parameters
        self._context = context
        self.devices = DictTable(StateCodec(DeviceRow))
        self.windows = DictTable(StateCodec(WindowRow))
        self.origins = DictTable(StateCodec(int))
        self.outputs: list[Output] = []
        self.refusals: list[tuple[int, int, str]] = []
        self._start()

    def _start(self) -> None:
        tables: dict[str, Table[Any]] = {
            DEVICE_STATE: self.devices,
            DEVICE_WINDOWS: self.windows,
            ORIGINS: self.origins,
        }
        length, grace, retention, _ = self._parameters
        self._aggregate = DeviceAggregate(
            tables, self._context, window_ms=length, grace_ms=grace, retention_ms=retention
        )

    def feed(self, happened: Sequence[Event]) -> Folded:
        """Go through the events, then commit."""
        since_commit: list[Record] = []
        for event in happened:
            if event == COMMIT:
                self.commit()
                since_commit = []
            elif event == ABORT:
                outputs, refusals = len(self.outputs), len(self.refusals)
                self.roll_back()
                for record in since_commit:
                    self.fold(record)
                del self.outputs[outputs:], self.refusals[refusals:]
            elif isinstance(event, Record):
                since_commit.append(event)
                self.fold(event)
        self.commit()
        return self

    def fold(self, record: Record) -> Sequence[Output] | Refusal | None:
        outcome = self._aggregate.fold(record)
        if isinstance(outcome, Refusal):
            self.refusals.append((record.partition, record.offset, str(outcome.reason)))
        elif outcome is not None:
            self.outputs += outcome
        return outcome

    def commit(self) -> None:
        for table in (self.devices, self.windows, self.origins):
            table.commit()

    def roll_back(self) -> None:
        for table in (self.devices, self.windows, self.origins):
            table.rollback()
        self._start()

    def committed(self) -> dict[str, dict[bytes, bytes]]:
        return {
            DEVICE_STATE: self.devices.committed,
            DEVICE_WINDOWS: self.windows.committed,
            ORIGINS: self.origins.committed,
        }

    def states(self) -> dict[str, Any]:
        return {key.decode(): device_state(key, row) for key, row in self.devices.rows().items()}

    def open_windows(self) -> dict[str, Any]:
        length = self._parameters.window_ms
        return {
            key.decode(): sorted(open_windows(key, row, length), key=lambda window: str(window["metric"]))
            for key, row in self.devices.rows().items()
        }

    def results(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for output in self.outputs:
            assert output.value is not None
            found.setdefault(output.key.decode(), []).append(msgspec.json.decode(output.value))
        return found

    def origin_rows(self) -> dict[tuple[int, str, int], int]:
        return {(0, *split_origin_key(key)): offset for key, offset in self.origins.rows().items()}

    def window_rows(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for key, row in self.windows.rows().items():
            result = window_result(key, row, self._parameters.window_ms)
            found.setdefault(str(result["device_id"]), []).append(result)
        return found
