"""A record as it lies in the log, handed to readers as it is."""

from __future__ import annotations

CREATE_TIME = 1
LOG_APPEND_TIME = 2
"""The kinds of timestamp, by the numbers that Kafka's client gives them."""

NOBODY = -1
"""The producer of a record that is in no transaction."""


class MemoryRecord:
    """`pipeline.log.api.Message`; never changed once it is in the log."""

    __slots__ = ("_headers", "_key", "_offset", "_partition", "_timestamp", "_topic", "_value", "producer")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: tuple[int, int],
        headers: list[tuple[str, bytes]] | None,
        producer: int,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._offset = offset
        self._key = key
        self._value = value
        self._timestamp = timestamp
        self._headers = headers
        self.producer = producer

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return self._timestamp

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._headers

    def __repr__(self) -> str:
        return f"{self._topic}/{self._partition}@{self._offset}: {self._key!r} = {self._value!r}"
