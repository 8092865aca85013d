"""A topology small enough to compute by hand: how often each key came, and the last value of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.api import Output, Record, Refusal, Table, TaskContext
from operators.topology import AggregateStage, TableSpec, Topology


class Text:
    """Keys and values that are text."""

    def parse(self, text: str) -> bytes:
        return text.encode()

    def route(self, key: bytes) -> bytes:
        return key

    def show(self, key: bytes) -> str:
        return key.decode()


class Number:
    def encode(self, value: int) -> bytes:
        return b"%d" % value

    def decode(self, data: bytes) -> int:
        return int(data)


class Raw:
    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, data: bytes) -> bytes:
        return data


class Count:
    def __init__(self, tables: Mapping[str, Table[Any]], _context: TaskContext) -> None:
        self._counts, self._last = tables["counts"], tables["last"]

    def fold(self, record: Record) -> list[Output] | Refusal | None:
        assert record.key is not None
        if record.value is None:
            self._counts.delete(record.key)
            self._last.delete(record.key)
            return None
        if record.value == b"bad":
            return Refusal("bad", "asked for")
        self._counts.put(record.key, (self._counts.get(record.key) or 0) + 1)
        self._last.put(record.key, record.value)
        return [Output("out", record.key, record.value)]


def _show(key: bytes, value: Any) -> Any:
    return {"key": key.decode(), "value": str(value)}


COUNTS: TableSpec[int] = TableSpec("counts", Text(), Number(), _show)
LAST: TableSpec[bytes] = TableSpec("last", Text(), Raw(), _show)
STAGE = AggregateStage("count", "numbers", ("out",), (COUNTS, LAST), Count)
TOPOLOGY = Topology("counting", "1", (STAGE,))
