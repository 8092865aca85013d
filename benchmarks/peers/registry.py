"""All peers by name."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.api import Peer
from benchmarks.peers.ceiling import Ceiling
from benchmarks.peers.faust import Faust
from benchmarks.peers.kafka_streams import THREADS, KafkaStreams
from benchmarks.peers.quix import Quix
from benchmarks.peers.statelog import Statelog

_ALL: Final[tuple[Peer, ...]] = (
    Ceiling(),
    # A worker is a process of one thread: as many as Kafka Streams gets threads.
    Statelog(workers=THREADS),
    Statelog("statelog-1-worker"),
    # Workers that are behind wait ten commit intervals: these commit every 100 ms under load too.
    Statelog("statelog-100ms", THREADS, {"commit_interval_ms": 10}),
    KafkaStreams("kafka-streams", "exactly once, commits each 100 ms", "exactly_once_v2", 100),
    KafkaStreams("kafka-streams-1s", "exactly once, commits each 1 s", "exactly_once_v2", 1_000),
    KafkaStreams("kafka-streams-alos", "at least once, commits each 1 s", "at_least_once", 1_000),
    Quix(),
    Faust(),
)

PEERS: Final[dict[str, Peer]] = {peer.name: peer for peer in _ALL}
SLOW: Final = frozenset({"quix-streams", "faust"})
VARIANTS: Final = frozenset({"statelog-1-worker", "kafka-streams-1s", "kafka-streams-alos"})
"""Of a peer that also runs as its users would set it up."""
DEFAULT: Final = tuple(name for name in PEERS if name != "statelog-100ms")
