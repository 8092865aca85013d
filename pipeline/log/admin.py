"""Questions to, and orders for, a Kafka cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
)
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from pipeline.errors import Misconfigured, PipelineError, Retryable
from pipeline.log.api import Committed, Member, TopicInfo, TopicPartition
from pipeline.log.config import common
from pipeline.log.coordinated import CoordinatedClient
from pipeline.log.errors import translate
from pipeline.settings import Settings

Result = TypeVar("Result")

_OFFSETS_TOPIC = "__consumer_offsets"

_NO_ANSWER = frozenset(
    {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._DESTROY_BROKER}
)
_UNKNOWN_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._NOENT})
_TOPIC_EXISTS = frozenset({KafkaError.TOPIC_ALREADY_EXISTS})
_UNKNOWN_GROUP = frozenset({KafkaError.GROUP_ID_NOT_FOUND, KafkaError._UNKNOWN_GROUP})

# Coordinators and leaders that a young cluster, or one that moves them, is about to have.
_NO_COORDINATOR = frozenset(
    {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
)
_NO_LEADER = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        # "No leaders found": what the client says of partitions that are not there, and of all of them while it comes
        # back to a cluster that was away.
        KafkaError._NOENT,
    }
)
_MAX_HEARTBEAT_MS = 5_000
"""Kafka's default with the `consumer` protocol, and the least that brokers allow unless they are told otherwise."""


class KafkaAdmin:
    """`pipeline.log.api.Admin` on a real cluster; may be shared by threads."""

    def __init__(self, settings: Settings, *, timeout_s: float = 15.0) -> None:
        """Connects at the first call. Raises Misconfigured when the settings name no cluster."""
        self._timeout_s = timeout_s
        self._last_error: KafkaError | None = None
        self._coordinated = False
        config = common(settings, "statelog-admin")
        log_error = config["error_cb"]

        def remember(error: KafkaError) -> None:
            # That no broker is left comes after why the last one is away, and says less.
            if self._last_error is None or error.code() != KafkaError._ALL_BROKERS_DOWN:
                self._last_error = error
            log_error(error)

        self._config = {**config, "error_cb": remember}
        with _translated("connect"):
            # Kept as long as this object: an AdminClient that is collected fails the futures it still owes.
            self._client = AdminClient(self._config)
        self._ask_coordinator = CoordinatedClient(self._config, timeout_s)

    def brokers(self) -> int:
        """How many brokers the cluster has."""
        with _translated("describe cluster"):
            future = self._client.describe_cluster(request_timeout=self._timeout_s)
        return len(self._result(future, "describe cluster").nodes)

    def topics(self, names: Sequence[str]) -> dict[str, TopicInfo]:
        return {name: _info(description) for name, description in self._describe(names).items()}

    def create_topics(self, topics: Mapping[str, Mapping[str, str]], partitions: int, replicas: int) -> list[str]:
        """Returns once every partition of the new topics has a leader that answers."""
        present = self._describe(list(topics))
        missing = [name for name in topics if name not in present]
        if not missing:
            return []
        orders = [NewTopic(name, partitions, replicas, config=dict(topics[name])) for name in missing]
        with _translated("create topics"):
            futures = self._client.create_topics(
                orders, operation_timeout=self._timeout_s, request_timeout=self._timeout_s
            )
        created = [
            name for name, future in futures.items() if self._accepted(future, f"create topic {name}", _TOPIC_EXISTS)
        ]
        self._wait_until("new topics have leaders", lambda: self._led(created))
        every = [TopicPartition(name, number) for name in created for number in range(partitions)]
        # A broker learns that it leads, or of the topic at all, a moment after the controller says so.
        self._offsets(every, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED, _UNKNOWN_TOPIC)
        return created

    def topic_configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        with _translated("describe topic configurations"):
            futures = self._client.describe_configs(
                [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=self._timeout_s
            )
        entries = {
            resource.name: self._result(future, f"describe configuration of {resource.name}")
            for resource, future in futures.items()
        }
        return {
            topic: {name: entry.value for name, entry in config.items() if entry.value is not None}
            for topic, config in entries.items()
        }

    def delete_topics(self, names: Sequence[str]) -> None:
        """Delete those that exist; returns once the cluster no longer shows them."""
        if not names:
            return
        with _translated("delete topics"):
            futures = self._client.delete_topics(
                list(names), operation_timeout=self._timeout_s, request_timeout=self._timeout_s
            )
        for name, future in futures.items():
            self._accepted(future, f"delete topic {name}", _UNKNOWN_TOPIC)
        self._wait_until("topics are gone", lambda: not self._describe(names))

    def earliest(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)

    def last_stable(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)

    def high_watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)

    def group_offsets(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """What the group committed last; an open transaction neither shows nor delays the answer."""
        if not partitions:
            return {}
        # AdminClient.list_consumer_group_offsets takes the whole process down while a coordinator is not ready
        # (librdkafka issue 5040). A consumer that never subscribes asks the same, and joins nothing.
        with _translated("connect"):
            consumer = Consumer({**self._config, "group.id": group, "isolation.level": "read_uncommitted"})
        wanted = [KafkaTopicPartition(*partition) for partition in partitions]

        def ask() -> list[Any]:
            rows: list[Any] = consumer.committed(wanted, timeout=self._timeout_s)
            for row in rows:
                if row.error is not None:
                    raise KafkaException(row.error)
            return rows

        try:
            answer = self._patiently(ask, f"read offsets of group {group}", _NO_COORDINATOR)
        finally:
            consumer.close()
        offsets: dict[TopicPartition, Committed | None] = dict.fromkeys(partitions)
        for row in answer:
            if row.offset >= 0:
                offsets[TopicPartition(row.topic, row.partition)] = Committed(row.offset, row.metadata or "")
        return offsets

    def members(self, group: str) -> list[Member]:
        """The group's members; none when there is no such group."""
        self._await_coordinator(group)

        def ask() -> Any:
            return self._ask_coordinator(
                lambda client, timeout_s: client.describe_consumer_groups([group], request_timeout=timeout_s)[group]
            )

        description = self._patiently(ask, f"describe group {group}", _NO_COORDINATOR, _UNKNOWN_GROUP)
        if description is None:
            return []
        return [
            Member(
                member.client_id,
                tuple(TopicPartition(row.topic, row.partition) for row in member.assignment.topic_partitions),
            )
            for member in description.members
        ]

    def delete_group(self, group: str) -> None:
        """Forget the group's offsets; nothing when there is no such group. It must have no members."""
        self._await_coordinator(group)

        def ask() -> Any:
            return self._ask_coordinator(
                lambda client, timeout_s: client.delete_consumer_groups([group], request_timeout=timeout_s)[group]
            )

        self._patiently(ask, f"delete group {group}", _NO_COORDINATOR, _UNKNOWN_GROUP)

    def set_group_session(self, group: str, session_timeout_ms: int) -> None:
        """Set after which silence a member of this KIP-848 group counts as dead; also before the group exists."""
        settings = {
            "consumer.session.timeout.ms": session_timeout_ms,
            "consumer.heartbeat.interval.ms": min(max(session_timeout_ms // 5, 200), _MAX_HEARTBEAT_MS),
        }
        entries = [
            ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=entries)
        doing = f"set the session timeout of group {group}"
        with _translated(doing):
            futures = self._client.incremental_alter_configs([resource], request_timeout=self._timeout_s)
        for future in futures.values():
            self._result(future, doing)

    def close(self) -> None:
        """Nothing to release by hand: the client goes with this object."""

    def _describe(self, names: Sequence[str]) -> dict[str, Any]:
        if not names:
            return {}
        with _translated("describe topics"):
            futures = self._client.describe_topics(TopicCollection(list(names)), request_timeout=self._timeout_s)
        found = {}
        for name, future in futures.items():
            try:
                found[name] = self._wait(future)
            except KafkaException as error:
                if _code(error) not in _UNKNOWN_TOPIC:
                    raise self._explained(error, f"describe topic {name}") from error
        return found

    def _led(self, names: Sequence[str]) -> bool:
        found = self._describe(names)
        return all(
            name in found and all(partition.leader is not None for partition in found[name].partitions)
            for name in names
        )

    def _exist(self, partitions: Sequence[TopicPartition]) -> bool:
        """Whether the cluster knows all of these; Retryable while it does not answer."""
        found = self._describe(sorted({partition.topic for partition in partitions}))
        return all(
            partition.topic in found and partition.partition < len(found[partition.topic].partitions)
            for partition in partitions
        )

    def _offsets(
        self,
        partitions: Sequence[TopicPartition],
        spec: OffsetSpec,
        isolation: IsolationLevel,
        passing: frozenset[int] = frozenset(),
    ) -> dict[TopicPartition, int]:
        if not partitions:
            return {}

        def ask() -> dict[TopicPartition, int]:
            futures = self._client.list_offsets(
                {KafkaTopicPartition(*partition): spec for partition in partitions},
                isolation_level=isolation,
                request_timeout=self._timeout_s,
            )
            try:
                found = {
                    TopicPartition(row.topic, row.partition): self._wait(future).offset
                    for row, future in futures.items()
                }
            except KafkaException as error:
                if _code(error) == KafkaError._NOENT and not self._exist(partitions):
                    raise self._explained(error, f"list offsets of {names}") from error
                raise
            if min(found.values()) < 0:
                # Of a partition that nobody was asked about, as its leader was just coming back, the client says -1001.
                raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
            return found

        names = ", ".join(sorted({partition.topic for partition in partitions}))
        offsets: dict[TopicPartition, int] = self._patiently(ask, f"list offsets of {names}", _NO_LEADER | passing)
        return offsets

    def _await_coordinator(self, group: str) -> None:
        """For requests of the AdminClient that go to a coordinator.

        Until Kafka has made its topic of offsets there is none. librdkafka then looks for one three times within a
        tenth of a second and gives up without a word, so that the request can only time out; and once its broker is
        gone, such a client may never come to its end. A consumer's way to its coordinator waits as it should.
        """
        if not self._coordinated:
            # Who has no right to that topic is told so at each of these, by the second once there is a coordinator.
            with contextlib.suppress(Misconfigured):
                self._coordinated = self._led([_OFFSETS_TOPIC])
            if not self._coordinated:
                with contextlib.suppress(Misconfigured):
                    self.group_offsets(group, [TopicPartition(_OFFSETS_TOPIC, 0)])
        self._coordinated = True

    def _accepted(self, future: Future[None], doing: str, harmless: frozenset[int]) -> bool:
        """Whether an order was carried out; False when it met one of the harmless errors."""
        try:
            self._wait(future)
        except KafkaException as error:
            if _code(error) in harmless:
                return False
            raise self._explained(error, doing) from error
        return True

    def _patiently(
        self, ask: Callable[[], Any], doing: str, passing: frozenset[int], absent: frozenset[int] = frozenset()
    ) -> Any:
        """An answer, asked for again while the errors are passing ones; None for what is absent."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return ask()
            except KafkaException as error:
                if _code(error) in absent:
                    return None
                if _code(error) not in passing:
                    raise self._explained(error, doing) from error
                if time.monotonic() > deadline:
                    raise Retryable(f"{doing}: {error.args[0].str()}", code=error.args[0].name()) from error
                if _code(error) in _NO_LEADER:
                    self._look_for_leaders()
            time.sleep(0.02)

    def _look_for_leaders(self) -> None:
        """Asked to list offsets, the client believes the leaders it knows, and their epochs, for minutes: after a
        restart of the only broker every answer would be FENCED_LEADER_EPOCH.
        """
        with contextlib.suppress(KafkaException):
            self._client.list_topics(timeout=self._timeout_s)

    def _result(self, future: Future[Result], doing: str) -> Result:
        try:
            return self._wait(future)
        except KafkaException as error:
            raise self._explained(error, doing) from error

    def _wait(self, future: Future[Result]) -> Result:
        # Serves what the client met since the last time; while the brokers are away that would pile up.
        self._client.poll(0)
        # The request's own time-out answers first; this one only keeps a lost future from hanging for ever.
        result = future.result(self._timeout_s + 5)
        self._last_error = None  # what it met before is over, and explains nothing that comes later
        return result

    def _explained(self, error: KafkaException, doing: str) -> PipelineError:
        """The reason behind a request that merely timed out: what the client met when it tried to connect."""
        problem = translate(error, doing)
        self._client.poll(0)
        cause, self._last_error = self._last_error, None
        if cause is None or _code(error) not in _NO_ANSWER:
            return problem
        explained = translate(cause, doing)
        return problem if type(explained) is PipelineError else explained

    def _wait_until(self, what: str, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise Retryable(f"waited {self._timeout_s:g} s until {what}")
            time.sleep(0.02)


def _info(description: Any) -> TopicInfo:
    return TopicInfo(description.name, str(description.topic_id), len(description.partitions))


def _code(error: KafkaException) -> int:
    return int(error.args[0].code())


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """The client's own refusals at the call, before any future."""
    try:
        yield
    except KafkaException as error:
        raise translate(error, doing) from error
