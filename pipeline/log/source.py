"""A member of a consumer group. The listener's calls run on the thread that polls, never on librdkafka's."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition

from pipeline.errors import PipelineError, Retryable, SeatTaken, StateLost
from pipeline.log.api import Listener, Membership, Message, TopicPartition
from pipeline.log.errors import translate

REJOIN_PAUSE_S = 0.2
"""Between two attempts at a static id that a dead member still holds (KIP-848); closing and joining costs 1 ms."""
END_TIMEOUT_S = 2.0
SEEK_PATIENCE_S = 10.0
"""A partition just assigned may refuse a seek until its fetcher has started."""

logger = structlog.get_logger(__name__)


class KafkaSource:
    """Reads one topic's committed records as a member of a group, from offsets that `resume` gives."""

    def __init__(self, configuration: Mapping[str, Any], topic: str, listener: Listener) -> None:
        self._configuration = dict(configuration)
        self._topic = topic
        self._listener = listener
        self._failure: Exception | None = None
        self._joined = False
        self._waiting_since: float | None = None
        self._consumer = self._subscribe()

    def _subscribe(self) -> Consumer:
        consumer = Consumer(self._configuration)
        self._subscribe_to_topic(consumer)
        return consumer

    def _subscribe_to_topic(self, consumer: Consumer) -> None:
        consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def join_anew(self) -> None:
        # A static member that comes back as it was gets its seat and nothing else happens. This one tells what it had
        # and when, which it did not before: with another subscription than the coordinator knows, all join again.
        self._consumer.unsubscribe()
        self._subscribe_to_topic(self._consumer)

    # The client swallows what a callback raises in some of the places that call it, so it is kept and raised by `poll`.

    def _tell(self, listen: Callable[[Sequence[TopicPartition]], None], partitions: list[Any]) -> None:
        try:
            listen([TopicPartition(each.topic, each.partition) for each in partitions])
        except Exception as error:
            self._failure = self._failure or error

    def _on_assign(self, consumer: Consumer, partitions: list[Any]) -> None:
        self._joined = True
        # Not yet at its place, and paused. A fetch may be under way before the pause, so it has to be from an offset
        # that is there: 0 may be out of retention.
        at_end = _ends(consumer, partitions)
        consumer.incremental_assign(at_end)
        consumer.pause(at_end)
        self._tell(self._listener.assigned, partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[Any]) -> None:
        self._tell(self._listener.revoked, partitions)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[Any]) -> None:
        self._tell(self._listener.lost, partitions)
        consumer.incremental_unassign(partitions)

    def poll(self, limit: int, timeout_s: float) -> Sequence[Message]:
        try:
            messages: list[Any] = self._consumer.consume(limit, timeout_s)
        except KafkaException as failure:
            raise translate(failure) from failure
        if self._failure is not None:
            kept, self._failure = self._failure, None
            raise kept
        errors = [message.error() for message in messages if message.error() is not None]
        if errors:
            for error in errors:
                self._take(error)
            messages = [message for message in messages if message.error() is None]
        return messages

    def _take(self, error: KafkaError) -> None:
        # The client reports its own death as a message whose `fatal()` is false.
        if error.fatal() or error.code() == KafkaError._FATAL:
            if self._joined or self._configuration.get("group.protocol") != "consumer":
                raise SeatTaken("this member was thrown out of its group", group=self._configuration["group.id"],
                                hint="another worker runs under the same --id; each needs its own")  # fmt: skip
            self._wait_for_id()
            return
        if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:
            raise StateLost("the source no longer holds what comes next: records were deleted unread",
                            hint="`statelog rebuild --from-source` folds what is left; `statelog reset` starts empty",
                            topic=self._topic, detail=error.str())  # fmt: skip
        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            # The client leaves the group, tells `lost` at the next poll, and joins again.
            logger.warning("the loop did not poll in time and lost its partitions", detail=error.str())
            return
        translated = translate(error)
        if not isinstance(translated, Retryable):
            raise translated
        logger.debug("consumer reports", error=error.str())

    def _wait_for_id(self) -> None:
        """KIP-848 lets a static id go when the dead member's session ends; librdkafka makes that fatal meanwhile."""
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
            logger.warning("id still held by a member that is gone or alive; waiting for its session to end",
                           id=self._configuration.get("group.instance.id"))  # fmt: skip
        self._consumer.close()
        time.sleep(REJOIN_PAUSE_S)
        self._consumer = self._subscribe()

    def membership(self) -> Membership:
        try:
            metadata = self._consumer.consumer_group_metadata()
        except RuntimeError:  # the client has let go of its group: in `close`, before it tells `revoked` or after
            return Membership(None, member=False)
        return Membership(metadata, member=metadata is not None and _generation(metadata) >= 0)

    def position(self, partition: TopicPartition) -> int | None:
        position = self._consumer.position([KafkaTopicPartition(partition.topic, partition.partition)])[0].offset
        return int(position) if position >= 0 else None

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._consumer.pause([KafkaTopicPartition(each.topic, each.partition) for each in partitions])

    def resume(self, positions: Mapping[TopicPartition, int]) -> None:
        for partition, offset in positions.items():
            self._seek(KafkaTopicPartition(partition.topic, partition.partition, offset))
        self._consumer.resume([KafkaTopicPartition(each.topic, each.partition) for each in positions])
        # Without a look-up after it the client sits for a second before it fetches from a partition that was idle; one
        # before it does not help. Only a matter of speed: a cluster that does not answer is met again by the poll.
        with contextlib.suppress(KafkaException):
            self._consumer.list_topics(self._topic, timeout=10)

    def _seek(self, target: Any) -> None:
        give_up = time.monotonic() + SEEK_PATIENCE_S
        while True:
            try:
                self._consumer.seek(target)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE or time.monotonic() > give_up:
                    raise translate(error) from error
                if not self._has(target):
                    return
                time.sleep(0.005)
            else:
                return

    def _has(self, partition: Any) -> bool:
        """Whether the client still counts it as assigned. One that is thrown out does not; the next poll says why."""
        return any(
            each.topic == partition.topic and each.partition == partition.partition
            for each in self._consumer.assignment()
        )

    def close(self) -> None:
        self._consumer.close()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            if isinstance(failure, PipelineError):
                raise failure
            raise RuntimeError("a rebalance callback failed while the consumer closed") from failure


def _ends(consumer: Consumer, partitions: list[Any]) -> list[Any]:
    """The partitions, each with the offset at its end, by one request; with 0 while the cluster does not answer."""
    latest = [KafkaTopicPartition(each.topic, each.partition, OFFSET_END) for each in partitions]
    try:
        found = consumer.offsets_for_times(latest, timeout=END_TIMEOUT_S) if latest else []
    except KafkaException:
        found = latest
    return [KafkaTopicPartition(each.topic, each.partition, max(each.offset, 0)) for each in found]


def _generation(metadata: Any) -> int:
    """The generation in a group's credentials: -1 for a consumer that never joined, which no broker would fence.

    The client gives them as bytes: `CGMDv2:` and an int32 in the machine's byte order come first.
    """
    return int.from_bytes(bytes(metadata)[7:11], sys.byteorder, signed=True)
