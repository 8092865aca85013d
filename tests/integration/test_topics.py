"""The pipeline's topics on a real cluster: made as they must be, and checked to the letter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import Producer

from operators.iot import topology
from pipeline.errors import Misconfigured, Retryable
from pipeline.log.admin import KafkaAdmin
from pipeline.log.api import TopicPartition
from pipeline.settings import Settings
from pipeline.topics import TopicPlan
from tests.support.brokers import Kafka
from tests.support.waiting import eventually


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[KafkaAdmin]:
    admin = KafkaAdmin(Settings(bootstrap_servers=kafka.bootstrap_servers))
    yield admin
    admin.close()


@pytest.fixture
def plan(prefix: str) -> TopicPlan:
    return TopicPlan(topology(), prefix)


def without(plan: TopicPlan, *topics: str) -> dict[str, dict[str, str]]:
    return {name: config for name, config in plan.configs.items() if name not in map(plan.full, topics)}


def test_created_topics_pass_their_check_and_a_second_creation_changes_nothing(
    admin: KafkaAdmin, plan: TopicPlan
) -> None:
    assert sorted(plan.create(admin, 3)) == sorted(plan.configs)
    assert plan.check(admin) == []
    assert plan.require(admin) == 3
    before = admin.topics(list(plan.configs))
    assert plan.create(admin) == []
    assert admin.topics(list(plan.configs)) == before


def test_changelogs_keep_what_a_store_may_need(admin: KafkaAdmin, plan: TopicPlan) -> None:
    plan.create(admin, 1)
    configs = admin.topic_configs([plan.full("device-state-changelog"), plan.full("telemetry")])
    changelog, telemetry = configs[plan.full("device-state-changelog")], configs[plan.full("telemetry")]
    assert changelog["cleanup.policy"] == "compact"
    assert changelog["message.timestamp.type"] == "LogAppendTime"
    assert int(changelog["min.compaction.lag.ms"]) == 3_600_000
    assert int(changelog["delete.retention.ms"]) == 7 * 86_400_000
    assert telemetry["cleanup.policy"] == "delete"
    assert int(telemetry["retention.ms"]) == 7 * 86_400_000


def test_missing_topics_join_the_count_of_those_that_are_there(admin: KafkaAdmin, plan: TopicPlan) -> None:
    admin.create_topics({plan.full("telemetry"): {}}, 5, 1)
    plan.create(admin)
    assert plan.require(admin) == 5


def test_a_count_never_changes_and_the_hint_says_how_to_grow(admin: KafkaAdmin, plan: TopicPlan) -> None:
    plan.create(admin, 2)
    with pytest.raises(Misconfigured, match="another number of partitions") as caught:
        plan.create(admin, 4)
    for word in ("--prefix", "replay", "compare", "switch"):
        assert word in caught.value.hint
    assert plan.require(admin) == 2


def test_every_mismatch_is_named(admin: KafkaAdmin, plan: TopicPlan) -> None:
    changelog, windows, readings = map(plan.full, ("device-state-changelog", "windows", "readings"))
    admin.create_topics(without(plan, "device-state-changelog", "windows", "readings"), 2, 1)
    admin.create_topics({changelog: {"delete.retention.ms": "1000"}, readings: {}}, 3, 1)
    found = plan.check(admin)
    assert found[0] == f"topic {windows} is missing"
    assert "differ in partitions" in found[1]
    assert f"{readings} has 3" in found[1]
    assert found[2:] == [
        f"topic {changelog} has cleanup.policy=delete instead of compact",
        f"topic {changelog} has message.timestamp.type=CreateTime instead of LogAppendTime",
        f"topic {changelog} has min.compaction.lag.ms=0, less than 3600000",
        f"topic {changelog} has delete.retention.ms=1000, less than 604800000",
    ]
    with pytest.raises(Misconfigured, match="is missing"):
        plan.require(admin)


def test_a_topic_made_anew_has_another_id(admin: KafkaAdmin, plan: TopicPlan) -> None:
    name = plan.full("telemetry")
    admin.create_topics({name: {}}, 1, 1)
    first = admin.topics([name])[name].topic_id
    admin.delete_topics([name, plan.full("never-there")])
    assert admin.topics([name]) == {}
    admin.create_topics({name: {}}, 1, 1)
    assert admin.topics([name])[name].topic_id != first


def test_the_end_of_the_log_counts_an_open_transaction_and_the_last_stable_offset_does_not(
    kafka: Kafka, admin: KafkaAdmin, prefix: str
) -> None:
    name = f"{prefix}t"
    partition = TopicPartition(name, 0)
    admin.create_topics({name: {}}, 1, 1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"{prefix}tx"})
    producer.init_transactions()
    producer.begin_transaction()
    for _ in range(3):
        producer.produce(name, b"v", b"k")
    producer.flush()
    assert (admin.earliest([partition]), admin.last_stable([partition])) == ({partition: 0}, {partition: 0})
    assert admin.high_watermarks([partition]) == {partition: 3}
    producer.commit_transaction()
    # The commit is answered before its marker is in the partition.
    eventually(lambda: admin.last_stable([partition]) == {partition: 4}, "the marker is there")


def test_a_group_that_never_was_has_no_members_and_no_offsets(admin: KafkaAdmin, plan: TopicPlan) -> None:
    plan.create(admin, 1)
    partitions = [TopicPartition(plan.full("telemetry"), 0)]
    group = plan.full("nobody")
    assert admin.members(group) == []
    assert admin.group_offsets(group, partitions) == {partitions[0]: None}
    admin.delete_group(group)


@pytest.mark.parametrize("names", [[], ["no-such-topic"]])
def test_questions_about_nothing_have_empty_answers(admin: KafkaAdmin, prefix: str, names: Sequence[str]) -> None:
    assert admin.topics([prefix + name for name in names]) == {}


def test_what_the_cluster_refuses_is_misconfigured(admin: KafkaAdmin, prefix: str) -> None:
    with pytest.raises(Misconfigured, match="create topic"):
        admin.create_topics({f"{prefix}t": {"no.such.setting": "1"}}, 1, 1)
    with pytest.raises(Misconfigured, match="offsets"):
        admin.high_watermarks([TopicPartition(f"{prefix}absent", 0)])


def test_an_absent_broker_is_retryable_and_named() -> None:
    absent = KafkaAdmin(Settings(bootstrap_servers="127.0.0.1:9"), timeout_s=1.0)
    with pytest.raises(Retryable, match=r"127\.0\.0\.1:9"):
        absent.topics(["t"])
