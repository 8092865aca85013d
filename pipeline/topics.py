"""Which topics a topology needs, with which configurations: to make them, and to say exactly what is amiss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from operators.topology import DEAD_LETTERS, Topology
from pipeline.errors import Misconfigured
from pipeline.log.api import Admin, TopicInfo
from pipeline.partitioning import GROW_HINT

DEFAULT_PARTITIONS = 8
DEFAULT_RETENTION_MS = 7 * 24 * 3_600_000
MOST_REPLICAS = 3

_HOUR_MS = 3_600_000
_MAX_MESSAGE_BYTES = "1048588"
"""Kafka's own default, said aloud, as clusters change it."""
_MAX_DEAD_LETTER_BYTES = "2097152"
"""More than any other topic takes: a dead letter holds the refused message whole, and says why."""

_CHANGELOG = {
    "cleanup.policy": "compact",
    # Compaction would eat the prefix that a store equals. So no record goes before it is an hour old by the broker's
    # clock, whatever clock its sender has; and a store that was away for less than the tombstones live learns of them.
    "message.timestamp.type": "LogAppendTime",
    "min.compaction.lag.ms": str(_HOUR_MS),
    "delete.retention.ms": str(7 * 24 * _HOUR_MS),
    # The active segment is never compacted: close it often enough that restores stay short.
    "segment.ms": str(6 * _HOUR_MS),
    "segment.bytes": str(128 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.3",
    "max.message.bytes": _MAX_MESSAGE_BYTES,
}

_CHECKED_CHANGELOG = ("cleanup.policy", "message.timestamp.type")
"""What has to be so, to the letter."""
_LEAST_CHANGELOG = ("min.compaction.lag.ms", "delete.retention.ms")
"""What has to be at least so much."""


@dataclass(frozen=True)
class TopicPlan:
    """A topology's topics on a cluster."""

    topology: Topology
    prefix: str = ""
    retention_ms: int = DEFAULT_RETENTION_MS
    """Of sources and outputs; -1 keeps everything. Changelogs keep the last value of each key for ever."""

    def full(self, topic: str) -> str:
        """The name of a topic on the cluster."""
        return f"{self.prefix}{topic}"

    @property
    def configs(self) -> dict[str, dict[str, str]]:
        """By full name."""
        stream = {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": _MAX_MESSAGE_BYTES,
        }
        kinds = dict.fromkeys(self.topology.topics, stream) | dict.fromkeys(self.topology.changelogs, _CHANGELOG)
        kinds[DEAD_LETTERS] = stream | {"max.message.bytes": _MAX_DEAD_LETTER_BYTES}
        return {self.full(topic): dict(config) for topic, config in kinds.items()}

    def create(self, admin: Admin, partitions: int | None = None, replicas: int | None = None) -> list[str]:
        """Make the topics that are missing; returns their full names.

        With no count given, co-partitioned topics that exist set it. Raises Misconfigured for a count that differs
        from that of existing ones: keys would move to other partitions than their state.
        """
        configs = self.configs
        present = admin.topics(list(configs))
        counts = {info.partitions for name, info in present.items() if name in self._co_partitioned}
        if len(counts) > 1 or (partitions is not None and counts and counts != {partitions}):
            raise Misconfigured(
                "existing topics have another number of partitions",
                hint=GROW_HINT,
                asked=partitions or "as they are",
                **{name: info.partitions for name, info in sorted(present.items()) if name in self._co_partitioned},
            )
        count = partitions or next(iter(counts), DEFAULT_PARTITIONS)
        copies = replicas or min(MOST_REPLICAS, admin.brokers())
        # With three copies an acknowledged write survives the loss of any one broker.
        safety = {"min.insync.replicas": "2"} if copies >= MOST_REPLICAS else {}
        return admin.create_topics({name: {**config, **safety} for name, config in configs.items()}, count, copies)

    def check(self, admin: Admin) -> list[str]:
        """What is amiss on the cluster, a line each; none: workers may start."""
        present = admin.topics(list(self.configs))
        missing = [f"topic {name} is missing" for name in self.configs if name not in present]
        return [*missing, *self._count_mismatches(present), *self._changelog_mismatches(admin, present)]

    def require(self, admin: Admin) -> int:
        """The number of partitions of the co-partitioned topics. Raises Misconfigured with the exact mismatches."""
        mismatches = self.check(admin)
        if mismatches:
            raise Misconfigured(
                "; ".join(mismatches),
                hint="`statelog topics create` makes what is missing; alter or remove by hand what differs",
            )
        source = self.full(self.topology.co_partitioned[0])
        return admin.topics([source])[source].partitions

    @property
    def _co_partitioned(self) -> list[str]:
        return [self.full(topic) for topic in self.topology.co_partitioned]

    def _count_mismatches(self, present: Mapping[str, TopicInfo]) -> list[str]:
        counts = {name: present[name].partitions for name in self._co_partitioned if name in present}
        if len(set(counts.values())) <= 1:
            return []
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        return [f"co-partitioned topics differ in partitions: {listed}"]

    def _changelog_mismatches(self, admin: Admin, present: Mapping[str, TopicInfo]) -> list[str]:
        names = [self.full(topic) for topic in self.topology.changelogs if self.full(topic) in present]
        found = admin.topic_configs(names)
        mismatches = []
        for name in names:
            for setting in _CHECKED_CHANGELOG:
                if found[name].get(setting) != _CHANGELOG[setting]:
                    mismatches.append(
                        f"topic {name} has {setting}={found[name].get(setting)} instead of {_CHANGELOG[setting]}"
                    )
            for setting in _LEAST_CHANGELOG:
                if int(found[name].get(setting, 0)) < int(_CHANGELOG[setting]):
                    mismatches.append(
                        f"topic {name} has {setting}={found[name].get(setting)}, less than {_CHANGELOG[setting]}"
                    )
        return mismatches
