"""Kafka's errors in the project's words, told apart by code and flag, never by text."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import Fenced, Misconfigured, PipelineError, Retryable, TransactionAborted

# librdkafka reports the loss of a static id as a message whose code is _FATAL while its fatal() is False.
_FATAL = frozenset({KafkaError._FATAL, KafkaError._FENCED})

# A member or producer that the cluster no longer takes writes from.
_FENCED = frozenset(
    {
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.PRODUCER_FENCED,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.UNRELEASED_INSTANCE_ID,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._MAX_POLL_EXCEEDED,
    }
)

# A transaction that cannot commit, while its producer lives on.
_ABORTED = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.TRANSACTION_ABORTABLE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._PURGE_QUEUE,
    }
)

# What fails a transaction, and would fail the next one as well.
_HOPELESS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)

# What a person has to mend, with what to do about it.
_MISCONFIGURED: dict[int, str] = {
    **dict.fromkeys(
        (
            KafkaError._AUTHENTICATION,
            KafkaError.SASL_AUTHENTICATION_FAILED,
            KafkaError.UNSUPPORTED_SASL_MECHANISM,
            KafkaError.ILLEGAL_SASL_STATE,
            KafkaError._SSL,
        ),
        "see whether the cluster's security settings and this client's agree",
    ),
    **dict.fromkeys(
        (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ),
        "grant this client's user the right that it lacks; `statelog topics acl` lists what each kind needs",
    ),
    **dict.fromkeys(
        (
            KafkaError._UNKNOWN_TOPIC,
            KafkaError._UNKNOWN_PARTITION,
            KafkaError._NOENT,
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError.UNKNOWN_TOPIC_ID,
        ),
        "`statelog topics create` makes the topics, `statelog topics check` says which are missing",
    ),
    **dict.fromkeys(
        (
            KafkaError.INVALID_CONFIG,
            KafkaError.INVALID_PARTITIONS,
            KafkaError.INVALID_REPLICATION_FACTOR,
            KafkaError.INVALID_REQUEST,
            KafkaError.INVALID_GROUP_ID,
            KafkaError.POLICY_VIOLATION,
            KafkaError.TOPIC_EXCEPTION,
            KafkaError._INVALID_ARG,
        ),
        "the cluster does not take these settings",
    ),
    **dict.fromkeys(
        (KafkaError.INVALID_SESSION_TIMEOUT, KafkaError.INVALID_TRANSACTION_TIMEOUT),
        "keep STATELOG_SESSION_TIMEOUT_MS and STATELOG_TRANSACTION_TIMEOUT_MS within the broker's bounds",
    ),
    KafkaError.NON_EMPTY_GROUP: "stop the group's workers and wait for the session timeout",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "every worker of a group needs the same STATELOG_GROUP_PROTOCOL",
    **dict.fromkeys(
        (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE),
        "raise max.message.bytes of the topic",
    ),
    **dict.fromkeys(
        (KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_ASSIGNOR),
        "statelog needs Apache Kafka 4.0 or newer for this",
    ),
}

# Passing trouble that librdkafka does not flag outside its transactional calls.
_RETRYABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        # The client begins anew with the bootstrap servers, as `metadata.recovery.rebootstrap.trigger.ms` has it, and
        # gives up the brokers that it had learned of, with what they were asked.
        KafkaError._DESTROY_BROKER,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._QUEUE_FULL,
        KafkaError._RESOLVE,
        KafkaError._RETRY,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_CACHE,
        KafkaError._WAIT_COORD,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)


def translate(error: KafkaError | KafkaException, doing: str = "") -> PipelineError:
    """The project's error for one of Kafka's; `doing` says what was tried, as in "commit".

    An error that is neither flagged nor known comes back as a plain PipelineError: nothing says that the client is
    still sound, so its owner has to close it.
    """
    if isinstance(error, KafkaException):
        error = error.args[0]
    code = error.code()
    message = f"{doing}: {_text(error)}" if doing else _text(error)
    kind: type[PipelineError] = PipelineError
    hint = ""
    if error.fatal() or code in _FATAL:
        kind = Fenced
    elif error.txn_requires_abort() and code not in _HOPELESS:
        kind = TransactionAborted
    elif error.retriable():
        kind = Retryable
    elif code in _FENCED:
        kind = Fenced
    elif code in _ABORTED:
        kind = TransactionAborted
    elif code in _MISCONFIGURED:
        kind, hint = Misconfigured, _MISCONFIGURED[code]
    elif code in _RETRYABLE:
        kind, hint = Retryable, "see whether the brokers run and STATELOG_BOOTSTRAP_SERVERS names them"
    return kind(message, hint=hint, code=error.name())


def _text(error: KafkaError) -> str:
    """Kafka's own words in the house form."""
    text = " ".join(str(error.str()).split()).rstrip(".")
    if not text or text.endswith(":"):
        # Some answers carry the request's name and nothing else.
        text = f"{text} {KafkaError(error.code()).str()}".strip()
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
