"""What the clients of a process say to the brokers, and hear from them: counted by the clients themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

EVERY_MS = 500
"""How often a client tells what it has counted since it began."""


class Traffic(NamedTuple):
    """Over all connections of all clients, since their beginning."""

    requests: int = 0
    """Each with its answer: round trips."""
    sent_bytes: int = 0
    received_bytes: int = 0


class _Broker(msgspec.Struct):
    tx: int
    txbytes: int
    rxbytes: int


class _Statistics(msgspec.Struct):
    name: str
    brokers: dict[str, _Broker]


class TrafficMeter:
    """For `pipeline.log.kafka.connect`; it counts what carries records and commits, not the admin's questions."""

    def __init__(self, told: Callable[[Traffic], None] = lambda _traffic: None) -> None:
        """`told` hears of each new total, on the thread that polls the client that told it."""
        self._told = told
        self._by_client: dict[str, Traffic] = {}
        self._lock = threading.Lock()
        self._decode = msgspec.json.Decoder(_Statistics).decode

    @property
    def configuration(self) -> dict[str, Any]:
        """What makes a client tell."""
        return {"statistics.interval.ms": EVERY_MS, "stats_cb": self._note}

    @property
    def total(self) -> Traffic:
        with self._lock:
            each = list(self._by_client.values())
        return Traffic(*(sum(column) for column in zip(*each, strict=True))) if each else Traffic()

    def _note(self, statistics: str) -> None:
        told = self._decode(statistics)
        brokers = told.brokers.values()
        traffic = Traffic(
            sum(each.tx for each in brokers),
            sum(each.txbytes for each in brokers),
            sum(each.rxbytes for each in brokers),
        )
        with self._lock:
            self._by_client[told.name] = traffic  # a client that has ended keeps what it told last
        self._told(self.total)
