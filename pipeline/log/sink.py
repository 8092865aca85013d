"""A transactional producer: what it sends is seen whole or not at all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaTopicPartition

from pipeline.errors import Fenced, OutcomeUnknown, PipelineError, Retryable, TransactionAborted
from pipeline.log.api import Committed, Delivery, Headers, Membership, TopicPartition
from pipeline.log.bounded import BoundedCalls, CallHangs
from pipeline.log.ending import end_beside
from pipeline.log.errors import translate
from pipeline.log.outage import OutageWatch

CALL_TIMEOUT_S = 5.0
HANGS_AFTER_S = 2 * CALL_TIMEOUT_S
FULL_QUEUE_PAUSE_S = 0.01


class KafkaSink:
    """One producer a worker. Making it ends the transaction that a dead worker of the same id left open."""

    def __init__(self, configuration: Mapping[str, Any], patience_s: float) -> None:
        """`patience_s` bounds how long a call is repeated while the cluster gives no answer."""
        self._patience_s = patience_s
        self._failure: PipelineError | None = None
        self._open = False
        self._closed = False
        self._bounded = BoundedCalls()
        self._outage = OutageWatch(configuration)
        self._producer = Producer(self._outage.configuration)
        try:
            self._repeat(lambda: self._producer.init_transactions(CALL_TIMEOUT_S))
        except BaseException:
            self._end()
            raise

    def _repeat(self, call: Callable[[], None], patience_s: float | None = None) -> None:
        """The same call again, as the protocol asks after a retriable error, until the patience ends."""
        give_up = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        while True:
            try:
                call()
            except KafkaException as error:
                translated = translate(error)
                if not isinstance(translated, Retryable) or time.monotonic() > give_up:
                    raise translated from error
            else:
                return

    def begin(self) -> None:
        self._failure = None
        self._repeat(self._producer.begin_transaction)
        self._open = True

    def send(self, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        # Without the arguments that it does not need, the client's call costs two thirds.
        while True:
            try:
                self._producer.produce(topic, value, key, timestamp=timestamp_ms)
            except BufferError:
                self._producer.poll(FULL_QUEUE_PAUSE_S)
            except KafkaException as error:
                raise self._unsent(error) from error
            else:
                return

    def send_with_headers(
        self, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int, headers: Headers
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, timestamp=timestamp_ms, headers=list(headers))
            except BufferError:
                self._producer.poll(FULL_QUEUE_PAUSE_S)
            except KafkaException as error:
                raise self._unsent(error) from error
            else:
                return

    def send_rows(
        self,
        to: TopicPartition,
        rows: Mapping[bytes, bytes | None],
        headers: Headers,
        on_delivery: Callable[[Delivery], None],
    ) -> None:
        produce, topic, partition = self._producer.produce, to.topic, to.partition
        of_the_last: dict[str, Any] = {}
        left = len(rows)
        for key, value in rows.items():
            left -= 1
            if not left:  # a report costs as much as the sending, and so do headers
                of_the_last = {"headers": list(headers), "on_delivery": self._report(on_delivery)}
            while True:
                try:
                    produce(topic, value, key, partition, **of_the_last)
                except BufferError:
                    self._producer.poll(FULL_QUEUE_PAUSE_S)
                except KafkaException as error:
                    raise self._unsent(error) from error
                else:
                    break

    def _unsent(self, error: KafkaException) -> PipelineError:
        """Why a record was not taken. The client takes none once it has heard that the transaction failed, and says no
        more than that; what became of the producer itself the abort will tell.
        """
        if self._open and error.args[0].code() == KafkaError._STATE:
            return self._why(TransactionAborted("the transaction failed while it was filled"))
        return translate(error)

    def _why(self, otherwise: PipelineError) -> PipelineError:
        """What the open transaction failed with. A report may say only that its record was given up with the others.

        To begin it once more does nothing, but says how it stands.
        """
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:
                return translate(error)
        return otherwise

    def _report(self, on_delivery: Callable[[Delivery], None]) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                on_delivery(Delivery(message.topic(), message.partition(), message.offset()))
            elif self._failure is None:
                self._failure = translate(error, f"write to {message.topic()}")

        return report

    def flush(self) -> None:
        give_up = time.monotonic() + self._patience_s
        try:
            while self._producer.flush(CALL_TIMEOUT_S) > 0:
                if time.monotonic() > give_up:
                    raise TransactionAborted("records were not delivered in time", seconds=self._patience_s)
        except KafkaException as error:
            raise translate(error) from error
        except SystemError as error:
            # The client raises this in place of a fatal error while reports are pending. `commit` would learn the
            # truth, but nothing may be committed once a report is missing.
            raise Fenced(
                "the producer has failed for good", hint="its transaction timed out or its id was taken"
            ) from error
        if self._failure is not None:
            raise self._why(self._failure) if self._open else self._failure

    def send_offsets(self, positions: Mapping[TopicPartition, Committed], membership: Membership) -> None:
        if not membership.member:
            raise TransactionAborted("this worker is no member of its group: nothing of it may be committed")
        offsets = [
            KafkaTopicPartition(each.topic, each.partition, committed.next_offset, committed.metadata)
            for each, committed in positions.items()
        ]

        def send() -> None:
            self._producer.send_offsets_to_transaction(offsets, membership.token, CALL_TIMEOUT_S)

        def send_unless_hurt() -> None:
            # Once all brokers are away the client forgets them, but not the coordinators that it has cached, which then
            # lead nowhere: it would wait for the group's coordinator until it is given up.
            self._producer.poll(0)
            if self._outage.seen:
                raise OutcomeUnknown("all brokers were away, and the client may not find the group again")
            self._bounded(send, HANGS_AFTER_S)

        # Of all calls this one may hang for ever while, and even after, the group's coordinator was out of reach:
        # librdkafka issue 5456. Or it times out again and again, as the client has lost the transactions' coordinator
        # and does not tell. The producer is then lost; the next one of this id ends the transaction.
        try:
            self._repeat(send_unless_hurt, HANGS_AFTER_S - CALL_TIMEOUT_S)
        except CallHangs:
            raise OutcomeUnknown("the client does not come back from sending offsets", seconds=HANGS_AFTER_S) from None
        except Retryable as error:
            raise OutcomeUnknown("no coordinator takes the offsets", reason=str(error)) from error

    def commit(self) -> None:
        try:
            self._repeat(lambda: self._producer.commit_transaction(CALL_TIMEOUT_S))
        except Retryable as error:
            raise OutcomeUnknown("no answer to a commit: it may have happened", seconds=self._patience_s) from error
        self._open = False

    def abort(self) -> None:
        if not self._open:
            return  # what failed came before the transaction began, or after it was committed
        try:
            # What a new producer does as well, which may find the coordinator that this one has lost.
            self._repeat(lambda: self._producer.abort_transaction(CALL_TIMEOUT_S), HANGS_AFTER_S - CALL_TIMEOUT_S)
        except Retryable as error:
            raise OutcomeUnknown("no answer to an abort", seconds=HANGS_AFTER_S) from error
        self._open = False

    def close(self) -> None:
        """Give up what is queued; an open transaction is left to `abort`, to the next of this id, or to its timeout.

        A second call does nothing.
        """
        if self._closed:
            return
        self._closed = True
        self._bounded.close()
        # Of a producer that failed for good both would raise that once more, the second at times as a SystemError.
        with contextlib.suppress(KafkaException, SystemError):
            self._producer.purge()
            self._producer.flush(0)
        self._end()

    def _end(self) -> None:
        """End the client now, not whenever the last reference to it goes, of which the errors it raised hold some.

        What it has asked the cluster for it would go on asking: once its broker is back, an initialisation that nobody
        waits for fences the producer that came after it.
        """
        end_beside([self._producer])
        del self._producer
