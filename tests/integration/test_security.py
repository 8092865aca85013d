"""A cluster with TLS, names and rights: who may come in, and what each kind of worker may do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Set
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from operators.iot import topology
from pipeline.console.serving import console_on
from pipeline.errors import ExitCode
from pipeline.log.admin import KafkaAdmin
from pipeline.log.config import common
from pipeline.privileges import Privilege, privileges
from pipeline.query.listener import LOOPBACK
from pipeline.settings import Settings
from pipeline.topics import TopicPlan
from tests.support.cluster import Cluster
from tests.support.exactness import assert_exactly_once
from tests.support.secured import SecuredKafka, TokenIssuer, secured_kafka
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.web import first_sample, http

TOPOLOGY = topology()
DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
PARTITIONS = 2

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    issuer = TokenIssuer()
    yield issuer
    issuer.close()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, issuer: TokenIssuer) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured"), issuer) as kafka:
        yield kafka


# The rights that `statelog topics acl` prints are enough, and each is needed


def test_a_pipeline_works_with_the_least_rights_and_says_which_one_is_taken_away(
    secured: SecuredKafka, prefix: str, tmp_path: Path
) -> None:
    users = {}
    for kind, rights in privileges(TOPOLOGY, prefix).items():
        users[kind] = secured.scram(f"{prefix}{kind}")
        secured.grant(f"{prefix}{kind}", rights)
    with Cluster(secured.broker.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:

        def command(kind: str, *arguments: str) -> str:
            done = cluster.command(*arguments, user=users[kind])
            assert done.returncode == ExitCode.OK, f"{kind}: {done.stderr}"
            return done.stdout

        command("administer", "reset", "--yes")
        command("administer", "topics", "check")
        transform = cluster.start("transform", "t0", user=users["transform"])
        aggregate = cluster.start("aggregate", "a0", user=users["aggregate"])
        command("produce", "produce", "--count", "2000", "--devices", "50", "--bad", "5")
        cluster.drain()
        (device, _), *_ = cluster.rows("device-state")
        assert json.loads(command("query", "get", device, "--json"))["key"] == device
        assert command("query", "status")
        command("query", "verify", "--from-source")
        seeing = Settings(prefix=prefix, **users["console"])
        with console_on(seeing, TOPOLOGY, LOOPBACK) as url:
            assert first_sample(url)["trouble"] == []
            assert http.get(f"{url}api/dead-letters").json()["read"] > 0
        command("redrive", "dead-letters", "redrive", "--reason", "unknown-unit", "--yes")
        refused = {(each.key or b"", each.value or b"") for each in cluster.records("dead-letters")}
        assert_exactly_once(cluster, lambda message: (message.key, message.value) not in refused)
        command("forget", "forget", device)
        assert device not in dict(cluster.rows("device-state"))

        before = cluster.committed("aggregate")
        right = Privilege("topic", f"{prefix}device-state-changelog", "write")
        _take_away(secured, f"{prefix}aggregate", right)
        command("produce", "produce", "--count", "2000", "--devices", "50", "--seed", "1")
        eventually(lambda: not aggregate.alive, "the worker ends that may no longer write its changelog")
        assert aggregate.wait() == ExitCode.MISCONFIGURED
        assert "TOPIC_AUTHORIZATION_FAILED" in aggregate.text()
        assert "statelog topics acl" in aggregate.text()
        assert cluster.committed("aggregate") == before
        assert transform.alive
        secured.grant(f"{prefix}aggregate", [right])
        cluster.start("aggregate", "a0", user=users["aggregate"])
        cluster.drain()
        command("query", "verify", "--from-source")


def _take_away(secured: SecuredKafka, name: str, right: Privilege) -> None:
    it = AclBindingFilter(ResourceType.TOPIC, right.name, ResourcePatternType.LITERAL, f"User:{name}", None,
                          AclOperation[right.operation.upper()], AclPermissionType.ALLOW)  # fmt: skip
    removed = secured.admin.delete_acls([it])
    assert [len(done.result(timeout=PATIENCE_S)) for done in removed.values()] == [1]
    eventually(lambda: not secured.admin.describe_acls(it).result(timeout=PATIENCE_S), "the broker goes by it")


def test_each_kind_may_do_what_it_says_and_nothing_else(
    secured: SecuredKafka, prefix: str, figure: Callable[[str], None]
) -> None:
    """Every kind, every topic, every operation; every group and every transactional id."""
    settings = Settings(bootstrap_servers=secured.broker.bootstrap_servers, prefix=prefix)
    admin = KafkaAdmin(settings)
    TopicPlan(TOPOLOGY, prefix).create(admin, 1, 1)
    admin.members("any")  # from then on groups have a coordinator
    kinds = privileges(TOPOLOGY, prefix)
    topics = [prefix + topic for topic in TOPOLOGY.topics]
    groups = [prefix + stage.name for stage in TOPOLOGY.stages]
    ids = [f"{prefix}transform-t0", f"{prefix}aggregate-a0", f"{prefix}dead-letters-redrive"]
    allowed = cells = 0
    for kind, rights in kinds.items():
        name = f"{prefix}{kind}"
        client = common(Settings(**secured.scram(name)))
        secured.grant(name, rights)
        found = _topic_cells(client, topics) | _group_cells(client, groups) | _id_cells(client, ids)
        expected = {cell: _holds(rights, *cell) for cell in found}
        assert found == expected, f"{kind}: {sorted(found.items() ^ expected.items())}"
        cells += len(found)
        allowed += sum(found.values())
    figure(f"{cells} cells of kind, resource and operation: {allowed} allowed, the rest denied, each as printed")
    assert 0 < allowed < cells


def _holds(rights: list[Privilege], resource: str, name: str, operation: str) -> bool:
    """By Kafka's rules: describe comes with read, write, delete and alter; describe_configs with alter_configs."""
    with_it = {"describe": {"describe", "read", "write", "delete", "alter"}}.get(operation, {operation})
    with_it |= {"alter_configs"} if operation == "describe_configs" else set()
    return any(
        each.resource == resource
        and each.operation in with_it
        and (name.startswith(each.name) if each.prefixed else name == each.name)
        for each in rights
    )


def _topic_cells(client: dict[str, Any], topics: list[str]) -> dict[tuple[str, str, str], bool]:
    admin = AdminClient(client)
    cells = {}
    for topic, future in admin.describe_topics(TopicCollection(topics)).items():
        cells["topic", topic, "describe"] = _allowed(future.result)
    for resource, future in admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, each) for each in topics]
    ).items():
        cells["topic", resource.name, "describe_configs"] = _allowed(future.result)
    for topic, future in admin.create_topics([NewTopic(each, 1, 1) for each in topics]).items():
        cells["topic", topic, "create"] = _allowed(future.result, {KafkaError.TOPIC_ALREADY_EXISTS})
    described = [topic for topic in topics if cells["topic", topic, "describe"]]
    readable = dict.fromkeys(topics, False) | _readable(client, described)  # who may read may describe as well
    cells |= {("topic", topic, "read"): allowed for topic, allowed in readable.items()}
    cells |= {("topic", topic, "write"): allowed for topic, allowed in _writable(client, topics).items()}
    for topic, done in admin.delete_topics(topics).items():  # allowed to the last kind alone
        cells["topic", topic, "delete"] = _allowed(done.result)
    return cells


def _readable(client: dict[str, Any], topics: list[str]) -> dict[str, bool]:
    """A topic without records comes to its end, or to an error."""
    consumer = Consumer({**client, "group.id": "none", "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    found: dict[str, bool] = {}
    consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < len(topics):
        assert time.monotonic() < deadline, f"no word of {set(topics) - found.keys()}"
        message = consumer.poll(0.1)
        error = message and message.error()
        # Of its group, which it is denied too, it may hear first; that names no topic.
        told = message is not None and message.topic() in topics
        if told and (error is None or error.code() in {*DENIED, KafkaError._PARTITION_EOF}):
            found[message.topic()] = error is None or error.code() not in DENIED
    consumer.close()
    return found


def _writable(client: dict[str, Any], topics: list[str]) -> dict[str, bool]:
    # Else it looks for half a minute for topics that it may not see.
    producer = Producer({**client, "topic.metadata.propagation.max.ms": 1_000})
    found: dict[str, bool] = {}

    def note(error: KafkaError | None, message: Message) -> None:
        assert error is None or error.code() in DENIED, error
        found[message.topic()] = error is None

    for topic in topics:
        producer.produce(topic, b"value", b"key", 0, on_delivery=note)
    assert producer.flush(PATIENCE_S) == 0
    return found


def _group_cells(client: dict[str, Any], groups: list[str]) -> dict[tuple[str, str, str], bool]:
    admin = AdminClient(client)
    cells = {}
    for group, future in admin.describe_consumer_groups(groups).items():
        cells["group", group, "describe"] = _allowed(future.result, {KafkaError.GROUP_ID_NOT_FOUND})
    for group in groups:
        # Setting its offsets takes the right that joining it does, and that is looked at before those to the topic.
        order = ConsumerGroupTopicPartitions(group, [TopicPartition("any", 0, 0)])
        (done,) = admin.alter_consumer_group_offsets([order]).values()
        cells["group", group, "read"] = _allowed(
            partial(_raise_error, done), {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART}
        )
    return cells


def _raise_error(done: Future[ConsumerGroupTopicPartitions]) -> None:
    """The answer of an order on one partition has the error that it met."""
    (partition,) = done.result().topic_partitions
    if partition.error is not None:
        raise KafkaException(partition.error)


def _id_cells(client: dict[str, Any], ids: list[str]) -> dict[tuple[str, str, str], bool]:
    return {
        ("transactional_id", each, "write"): _allowed(
            partial(Producer({**client, "transactional.id": each}).init_transactions, PATIENCE_S)
        )
        for each in ids
    }


def _allowed(call: Callable[[], Any], also: Set[int] = frozenset()) -> bool:
    """Whether it was not denied; `also` are errors that come after the rights were looked at."""
    try:
        call()
    except KafkaException as error:
        if error.args[0].code() not in {*DENIED, *also}:
            raise
        return error.args[0].code() in also
    return True


# Who may come in


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_name_with_its_password_comes_in(secured: SecuredKafka, mechanism: str) -> None:
    _assert_comes_in(secured, f"scram-{mechanism[-3:]}", secured.scram(f"scram-{mechanism[-3:]}", mechanism))


def test_a_certificate_comes_in(secured: SecuredKafka) -> None:
    _assert_comes_in(secured, "certified", secured.certificate("certified"))


def test_a_token_comes_in(secured: SecuredKafka, issuer: TokenIssuer) -> None:
    _assert_comes_in(secured, "token-bearer", secured.token("token-bearer", issuer))
    assert "token-bearer" in issuer.issued


def _assert_comes_in(secured: SecuredKafka, name: str, user: dict[str, Any]) -> None:
    """As the one that it says: its right counts, and none beside."""
    mine, other = f"{name}-mine", f"{name}-other"
    for done in secured.admin.create_topics([NewTopic(mine, 1, 1), NewTopic(other, 1, 1)]).values():
        done.result(timeout=PATIENCE_S)
    # Made is not yet known to who asks: and who may not see a topic gives it up soon.
    eventually(lambda: {mine, other} <= secured.admin.list_topics(timeout=PATIENCE_S).topics.keys(), "both are known")
    secured.grant(name, [Privilege("topic", mine, "write")])
    assert _writable(common(Settings(**user)), [mine, other]) == {mine: True, other: False}
