"""A Kafka cluster: where the clients come from, with the configurations that the promises stand on."""

from __future__ import annotations

from typing import Any

import structlog

from pipeline.errors import Misconfigured
from pipeline.log.admin import KafkaAdmin
from pipeline.log.api import Listener
from pipeline.log.config import common
from pipeline.log.reader import KafkaReader
from pipeline.log.sink import KafkaSink
from pipeline.log.source import KafkaSource
from pipeline.log.traffic import TrafficMeter
from pipeline.settings import Settings

logger = structlog.get_logger(__name__)

PATIENCE_FACTOR = 3.0
"""How many transaction time-outs a producer's call is repeated for before its outcome counts as unknown."""
MAX_MESSAGE_BYTES = 2_097_152
"""What the topic of the dead letters takes: a refused message whole, and why."""
MAX_HEARTBEAT_MS = 3_000
"""Kafka's default. By a heartbeat a member hears that others join: after a long session it would hear too late."""
MAX_POLL_INTERVAL_MS = 60_000
"""A loop that has not polled for this long loses its partitions. Restores run beside it, so nothing needs more."""


class KafkaLog:
    """`pipeline.log.api.Log` on a real cluster."""

    def __init__(self, settings: Settings, meter: TrafficMeter | None = None) -> None:
        self._settings = settings
        self._metered: dict[str, Any] = {} if meter is None else meter.configuration

    def source(
        self, topic: str, group: str, listener: Listener, *, instance_id: str | None, client_id: str
    ) -> KafkaSource:
        settings = self._settings
        configuration: dict[str, Any] = {
            **_reading(settings, client_id),
            **self._metered,
            "group.id": group,
            "group.protocol": settings.group_protocol,
            "max.poll.interval.ms": max(MAX_POLL_INTERVAL_MS, settings.session_timeout_ms),
            "queued.max.messages.kbytes": 65_536,
            # A member's assignment changes only between two fetches, so a long wait for data would hold it up.
            "fetch.wait.max.ms": 50,
        }
        if instance_id is not None:
            configuration["group.instance.id"] = instance_id
        if settings.group_protocol == "classic":
            configuration |= {
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": min(max(settings.session_timeout_ms // 5, 100), MAX_HEARTBEAT_MS),
            }
        else:
            self._set_group_session(group)
        return KafkaSource(configuration, topic, listener)

    def _set_group_session(self, group: str) -> None:
        """KIP-848 keeps the session on the broker, one setting a group."""
        admin = self.admin()
        try:
            admin.set_group_session(group, self._settings.session_timeout_ms)
        except Misconfigured as error:
            logger.warning(
                "the broker keeps its own session timeout: a takeover takes that long",
                group=group,
                asked_ms=self._settings.session_timeout_ms,
                reason=error.message,
                hint="lower group.consumer.min.session.timeout.ms on the broker",
            )
        finally:
            admin.close()

    def sink(self, transactional_id: str) -> KafkaSink:
        settings = self._settings
        configuration = {
            **common(settings, transactional_id),
            **self._metered,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": settings.transaction_timeout_ms,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": settings.compression,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            # Nothing is seen before its commit, and a flush waits for nobody: so waiting costs no latency, and fewer,
            # fuller batches halve what outputs cost the broker.
            "linger.ms": 50,
            "batch.num.messages": 20_000,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 131_072,
        }
        return KafkaSink(configuration, settings.transaction_timeout_ms / 1000 * PATIENCE_FACTOR)

    def reader(self, group: str = "") -> KafkaReader:
        configuration = {
            **_reading(self._settings, "statelog-reader"),
            **self._metered,
            "group.id": group or "statelog-reader",  # demanded by the client, and never joined
            "queued.max.messages.kbytes": 131_072,
            "fetch.wait.max.ms": 10,
        }
        return KafkaReader(configuration, grouped=bool(group))

    def admin(self) -> KafkaAdmin:
        return KafkaAdmin(self._settings)


def _reading(settings: Settings, client_id: str) -> dict[str, Any]:
    return {
        **common(settings, client_id),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        # Nothing may be skipped in silence: a position outside the log is an error.
        "auto.offset.reset": "error",
        "check.crcs": True,
        # The default of 1,000 makes a fast reader sleep.
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 100_000,
    }


def connect(settings: Settings, meter: TrafficMeter | None = None) -> KafkaLog:
    """A cluster by its settings; talks to it at the first use. `meter` counts what sources, sinks and readers do."""
    return KafkaLog(settings, meter)
