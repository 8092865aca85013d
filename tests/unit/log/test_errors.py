"""Kafka's errors become the project's by code and flag."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import Fenced, Misconfigured, PipelineError, Retryable, TransactionAborted
from pipeline.log.errors import translate


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KafkaError(KafkaError._TIMED_OUT), Retryable),
        (KafkaError(KafkaError._TRANSPORT), Retryable),
        (KafkaError(KafkaError._ALL_BROKERS_DOWN), Retryable),
        (KafkaError(KafkaError._DESTROY_BROKER), Retryable),
        (KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION), Retryable),
        (KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT), Retryable),
        (KafkaError(KafkaError.UNKNOWN, retriable=True), Retryable),
        (KafkaError(KafkaError.ILLEGAL_GENERATION), TransactionAborted),
        (KafkaError(KafkaError.UNKNOWN_MEMBER_ID, txn_requires_abort=True), TransactionAborted),
        (KafkaError(KafkaError._PURGE_QUEUE), TransactionAborted),
        (KafkaError(KafkaError.UNKNOWN_MEMBER_ID), Fenced),
        (KafkaError(KafkaError._FENCED, fatal=True), Fenced),
        (KafkaError(KafkaError._FATAL), Fenced),
        (KafkaError(KafkaError.INVALID_PRODUCER_EPOCH), Fenced),
        (KafkaError(KafkaError.FENCED_INSTANCE_ID), Fenced),
        (KafkaError(KafkaError.UNKNOWN, fatal=True, retriable=True), Fenced),
        (KafkaError(KafkaError._AUTHENTICATION), Misconfigured),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), Misconfigured),
        (KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), Misconfigured),
        (KafkaError(KafkaError.INVALID_CONFIG), Misconfigured),
        (KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), Misconfigured),
        (KafkaError(KafkaError._STATE), PipelineError),
    ],
)
def test_what_to_do_next_follows_from_flag_and_code(error: KafkaError, kind: type[PipelineError]) -> None:
    assert type(translate(error)) is kind
    assert type(translate(KafkaException(error))) is kind


def test_the_line_says_what_was_tried_and_what_kafka_said_in_the_house_form() -> None:
    problem = translate(KafkaError(KafkaError._TIMED_OUT, "Timed out waiting for broker."), "commit")
    assert str(problem) == "commit: timed out waiting for broker (code=_TIMED_OUT)"
    assert "STATELOG_BOOTSTRAP_SERVERS" in problem.hint


def test_an_answer_with_a_name_and_nothing_else_is_completed() -> None:
    problem = translate(KafkaError(KafkaError.NOT_COORDINATOR, "ConsumerGroupDescribe: "))
    assert "Not coordinator" in problem.message
