"""Topics, their configurations and questions about offsets, on Kafka and on its twin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from operators.iot import topology
from pipeline.errors import Misconfigured
from pipeline.log.api import TopicPartition
from pipeline.topics import TopicPlan
from tests.contract.log.grounds import Ground


def test_topics_are_created_where_they_are_missing(ground: Ground) -> None:
    one, other = f"{ground.prefix}one", f"{ground.prefix}other"
    assert ground.admin.topics([one, other]) == {}
    assert ground.admin.create_topics({one: {}}, 3, 1) == [one]
    assert ground.admin.create_topics({one: {}, other: {}}, 2, 1) == [other]
    found = ground.admin.topics([one, other, f"{ground.prefix}nowhere"])
    assert {name: (info.topic, info.partitions) for name, info in found.items()} == {one: (one, 3), other: (other, 2)}
    assert found[one].topic_id != found[other].topic_id
    ground.admin.delete_topics([one, f"{ground.prefix}nowhere"])
    assert list(ground.admin.topics([one, other])) == [other]
    assert ground.admin.brokers() >= 1


def test_a_topic_has_its_configuration_and_the_defaults(ground: Ground) -> None:
    topic = ground.topic({"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000"})
    config = ground.admin.topic_configs([topic])[topic]
    assert config["cleanup.policy"] == "compact"
    assert config["min.compaction.lag.ms"] == "3600000"
    assert config["message.timestamp.type"] == "CreateTime"
    assert int(config["delete.retention.ms"]) == 24 * 3_600_000
    assert ground.admin.topic_configs([]) == {}


def test_the_topics_of_the_shipped_topology_can_be_made_and_are_found_right(ground: Ground) -> None:
    plan = TopicPlan(topology(), ground.prefix)
    assert len(plan.check(ground.admin)) == len(plan.create(ground.admin, partitions=2))
    assert plan.check(ground.admin) == []
    assert plan.require(ground.admin) == 2
    ground.admin.delete_topics([plan.full("device-state-changelog")])
    assert len(plan.check(ground.admin)) == 1


@pytest.mark.parametrize(
    "create",
    [
        lambda ground: ground.admin.create_topics({f"{ground.prefix}t": {"no.such.setting": "1"}}, 1, 1),
        lambda ground: ground.admin.create_topics({f"{ground.prefix}t": {"cleanup.policy": "no-such-policy"}}, 1, 1),
        lambda ground: ground.admin.create_topics({f"{ground.prefix}t": {"retention.ms": "soon"}}, 1, 1),
        lambda ground: ground.admin.create_topics({f"{ground.prefix}t": {}}, 0, 1),
        lambda ground: ground.admin.create_topics({f"{ground.prefix}t": {}}, 1, 99),
        lambda ground: ground.admin.create_topics({f"{ground.prefix} t": {}}, 1, 1),
    ],
    ids=["unknown setting", "unknown policy", "not a number", "no partition", "too many replicas", "name with a space"],
)
def test_what_cannot_be_made_is_misconfigured(ground: Ground, create: Callable[[Ground], object]) -> None:
    with pytest.raises(Misconfigured):
        create(ground)
    assert ground.admin.topics([f"{ground.prefix}t"]) == {}


def test_offsets_of_what_is_not_there_are_misconfigured(ground: Ground) -> None:
    admin, nowhere = ground.admin, TopicPartition(f"{ground.prefix}nowhere", 0)
    beyond = TopicPartition(ground.topic(), 5)
    for ask in (admin.earliest, admin.last_stable, admin.high_watermarks):
        assert ask([]) == {}
        for partition in (nowhere, beyond):
            with pytest.raises(Misconfigured):
                ask([partition])
    with pytest.raises(Misconfigured):
        admin.topic_configs([nowhere.topic])
    assert admin.group_offsets(ground.group(), [nowhere]) == {nowhere: None}
    assert admin.group_offsets(ground.group(), []) == {}
    assert admin.members(ground.group()) == []
