"""Tables in memory, for trying an aggregate in three lines:

>>> table = DictTable(codec)
>>> MyAggregate({"my-table": table}, everything).fold(record)
>>> table.commit()
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from operators.api import TaskContext
from operators.topology import ValueCodec

Value = TypeVar("Value")

everything: Final = TaskContext(partition=0, owns=lambda _key: True)
"""The context of an aggregate that owns every key."""


class DictTable(Generic[Value]):
    """`operators.api.Table` whose rows outlive a commit only as bytes, as they do on a real worker's disk.

    It finds what a cache would hide: a value that was changed in place and not `put`.
    """

    def __init__(self, codec: ValueCodec[Value]) -> None:
        self._codec = codec
        self._pending: dict[bytes, Value | None] = {}
        self._got: dict[bytes, Value] = {}
        self.committed: dict[bytes, bytes] = {}
        """The encoded rows."""

    def get(self, key: bytes) -> Value | None:
        if key in self._pending:
            return self._pending[key]
        if key not in self._got and key in self.committed:
            self._got[key] = self._codec.decode(self.committed[key])
        return self._got.get(key)

    def put(self, key: bytes, value: Value) -> None:
        self._pending[key] = value

    def delete(self, key: bytes) -> None:
        self._pending[key] = None

    def commit(self) -> None:
        """Encode what changed, and forget every decoded value; ValueError for a value changed without a `put`."""
        for key, value in self._got.items():
            if key not in self._pending and self._codec.encode(value) != self.committed[key]:
                raise ValueError(f"the value of {key!r} was changed in place and not put")
        for key, pending in self._pending.items():
            if pending is None:
                self.committed.pop(key, None)
            else:
                self.committed[key] = self._codec.encode(pending)
        self.rollback()

    def rollback(self) -> None:
        """Forget what changed since the last commit, as an abort does; then the operator has to be made anew."""
        self._pending = {}
        self._got = {}

    def rows(self) -> dict[bytes, Value]:
        """The committed rows, decoded, in byte order."""
        return {key: self._codec.decode(data) for key, data in sorted(self.committed.items())}
