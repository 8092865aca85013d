"""A plain producer for those who put telemetry in: idempotent, in order, with no transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from pipeline.errors import PipelineError, Retryable
from pipeline.log.config import common
from pipeline.log.errors import translate
from pipeline.settings import Settings


class Feed:
    """Sends to one topic, by murmur2 of the key; a null key goes anywhere.

    Waits when its queue is full. A record that cannot be delivered makes the next call raise: what was acknowledged
    is in the log once and in order, and nothing after it counts as sent.
    """

    def __init__(self, settings: Settings, topic: str, *, delivery_timeout_s: float = 60.0) -> None:
        self._topic = topic
        self._queued = 0
        self._failed = 0
        self._failure: KafkaError | None = None
        try:
            self._producer = Producer(
                {
                    **common(settings, "statelog-feed"),
                    "enable.idempotence": True,
                    "acks": "all",
                    "partitioner": "murmur2_random",
                    "compression.type": settings.compression,
                    "linger.ms": 20,
                    "batch.num.messages": 20_000,
                    "batch.size": 1_000_000,
                    "queue.buffering.max.messages": 500_000,
                    "queue.buffering.max.kbytes": 131_072,
                    "message.timeout.ms": int(delivery_timeout_s * 1000),
                    # Only failures are reported one by one: to hear of each success would cost as much as sending it.
                    "delivery.report.only.error": True,
                    "on_delivery": self._reported,
                }
            )
        except KafkaException as error:
            raise translate(error, "connect") from error

    def send(self, messages: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Queue keys and values, in order. Raises what any record so far has met."""
        produce, topic = self._producer.produce, self._topic
        queued = 0
        try:
            for key, value in messages:
                while True:
                    try:
                        produce(topic, value, key)
                        break
                    except BufferError:
                        self._producer.poll(0.1)
                        self._raise_failure()
                queued += 1
        except KafkaException as error:
            raise translate(error, f"send to {topic}") from error
        finally:
            self._queued += queued
        self._producer.poll(0)
        self._raise_failure()

    def flush(self, timeout_s: float = 60.0) -> None:
        """Wait until all that was sent is in the log. Raises what any record has met, Retryable when time is up."""
        deadline = time.monotonic() + timeout_s
        while len(self._producer) and time.monotonic() < deadline:
            self._producer.flush(0.5)
            self._raise_failure()
        self._raise_failure()
        if left := len(self._producer):
            raise Retryable("records are still on their way", hint="see whether the brokers run", left=left)

    @property
    def delivered(self) -> int:
        """Records that are in the log."""
        return self._queued - self._failed - len(self._producer)

    def close(self) -> None:
        """Give up what is still queued."""
        self._producer.purge()
        self._producer.flush(1)

    def _reported(self, error: KafkaError | None, _message: KafkaMessage) -> None:
        if error is not None:
            self._failed += 1
            self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            problem: PipelineError = translate(self._failure, f"send to {self._topic}")
            problem.data["undelivered"] = self._failed + len(self._producer)
            raise problem
