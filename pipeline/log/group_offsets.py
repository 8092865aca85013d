"""What a group has committed, asked so that no outage of the cluster does lasting harm."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition

from pipeline.errors import Retryable
from pipeline.log.api import Committed, TopicPartition
from pipeline.log.ending import end_beside
from pipeline.log.errors import translate
from pipeline.log.outage import OutageWatch

TIMEOUT_S = 1.0
SILENT_FOR_S = 10.0
"""A client that has given no answer for so long is given up, whatever it is that it waits for."""


class GroupOffsets:
    """Asks by a client of its own, which joins nothing; one thread at a time.

    Once all brokers were away the client may go on asking a coordinator that it has lost, for ever; what one sees is
    the time-out that an open transaction causes too. So it is made anew when it has heard of an outage, and when it
    has been silent for long.
    """

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._outage = OutageWatch(configuration)
        self._clients: list[Consumer] = []
        self._answered_at = 0.0

    def stable(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """Retryable while somebody's transaction holds one of them open, or nobody answers."""
        wanted = [KafkaTopicPartition(each.topic, each.partition) for each in partitions]
        try:
            found = self._client().committed(wanted, timeout=TIMEOUT_S)
        except KafkaException as error:
            # An offset held by an open transaction shows as a time-out that does not call itself retriable.
            if error.args[0].code() == KafkaError._TIMED_OUT:
                raise Retryable("committed offsets are not stable: a transaction holds them open") from error
            raise translate(error) from error
        self._answered_at = time.monotonic()
        result: dict[TopicPartition, Committed | None] = {}
        for each in found:
            if each.error is not None:
                raise translate(each.error)
            partition = TopicPartition(each.topic, each.partition)
            result[partition] = Committed(each.offset, each.metadata or "") if each.offset >= 0 else None
        return result

    def _client(self) -> Consumer:
        if self._clients:
            self._clients[0].poll(0)  # what it has heard
            if self._outage.seen or time.monotonic() - self._answered_at > SILENT_FOR_S:
                self.close()
        if not self._clients:
            self._clients.append(Consumer(self._outage.configuration))
            self._outage.seen, self._answered_at = False, time.monotonic()
        return self._clients[0]

    def close(self) -> None:
        """Does not wait for a cluster that is away."""
        if self._clients:
            end_beside([self._clients.pop()])
