"""A topic's configuration: what the twin acts on, and Kafka's defaults for what it only shows."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import Misconfigured

DEFAULTS = {
    "cleanup.policy": "delete",
    "compression.gzip.level": "-1",
    "compression.lz4.level": "9",
    "compression.type": "producer",
    "compression.zstd.level": "3",
    "delete.retention.ms": "86400000",
    "file.delete.delay.ms": "60000",
    "flush.messages": "9223372036854775807",
    "flush.ms": "9223372036854775807",
    "follower.replication.throttled.replicas": "",
    "index.interval.bytes": "4096",
    "leader.replication.throttled.replicas": "",
    "local.retention.bytes": "-2",
    "local.retention.ms": "-2",
    "max.compaction.lag.ms": "9223372036854775807",
    "max.message.bytes": "1048588",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.type": "CreateTime",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "min.insync.replicas": "1",
    "preallocate": "false",
    "remote.log.copy.disable": "false",
    "remote.log.delete.on.disable": "false",
    "remote.storage.enable": "false",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
    "segment.index.bytes": "10485760",
    "segment.jitter.ms": "0",
    "segment.ms": "604800000",
    "unclean.leader.election.enable": "false",
}
"""What Kafka 4.3 has. The twin acts on six of them: see `TopicConfig`."""

_HINT = "the cluster does not take these settings"


class TopicConfig:
    """What a topic was created with, over the defaults. Raises Misconfigured for what Kafka would not take."""

    def __init__(self, given: Mapping[str, str]) -> None:
        unknown = given.keys() - DEFAULTS.keys()
        if unknown:
            raise Misconfigured(f"unknown topic config name: {sorted(unknown)[0]}", hint=_HINT, code="INVALID_CONFIG")
        self.entries = {**DEFAULTS, **given}
        policies = {each.strip() for each in self.entries["cleanup.policy"].split(",")}
        if not policies <= {"compact", "delete"}:
            raise Misconfigured("invalid value for configuration cleanup.policy", hint=_HINT, code="INVALID_CONFIG")
        try:
            self.max_message_bytes = int(self.entries["max.message.bytes"])
            self.min_compaction_lag_ms = int(self.entries["min.compaction.lag.ms"])
            self.delete_retention_ms = int(self.entries["delete.retention.ms"])
            self.retention_ms = int(self.entries["retention.ms"])
        except ValueError as error:
            raise Misconfigured(f"not a number: {error}", hint=_HINT, code="INVALID_CONFIG") from error
        self.compacts = "compact" in policies
        self.deletes = "delete" in policies
        self.append_time = self.entries["message.timestamp.type"] == "LogAppendTime"
