"""The least that each kind of worker and command must be allowed to do on the cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from operators.topology import DEAD_LETTERS, REDRIVEN, AggregateStage, Stage, Topology
from pipeline.dead_letters.redriving import TRANSACTIONAL_ID
from pipeline.forgetting import keyed_topics
from pipeline.runtime.identity import group_of


class Privilege(NamedTuple):
    """One right, in Kafka's words."""

    resource: str
    """`topic`, `group` or `transactional_id`."""
    name: str
    operation: str
    prefixed: bool = False
    """Whether the name is only what the resources' names begin with."""


PRODUCE, QUERY, CONSOLE, FORGET, REDRIVE, ADMINISTER = (
    "produce", "query", "console", "forget", "redrive", "administer",
)  # fmt: skip


def privileges(topology: Topology, prefix: str) -> dict[str, list[Privilege]]:
    """By kind: a worker of each stage by the stage's name, and the commands that do the same.

    `query` is get, scan, windows, status and verify; `administer` is topics create and check, rebuild and reset. No
    right is given twice: Kafka takes Describe as given with Read, Write, Alter and Delete.
    """
    kinds = {stage.name: _worker(topology, stage) for stage in topology.stages}
    kinds |= {
        PRODUCE: _topics([topology.first_topic], "write"),
        QUERY: _query(topology),
        CONSOLE: [*_query(topology), *_console(topology)],
        FORGET: [*_query(topology), *_forget(topology)],
        REDRIVE: [*_query(topology), *_redrive(topology)],
        ADMINISTER: _administer(topology),
    }
    return {kind: _distinct(rights, prefix) for kind, rights in kinds.items()}


def _topics(topics: Iterable[str], *operations: str) -> list[Privilege]:
    return [Privilege("topic", topic, operation) for topic in topics for operation in operations]


def _groups(stages: Iterable[Stage], *operations: str) -> list[Privilege]:
    return [Privilege("group", group_of("", stage), operation) for stage in stages for operation in operations]


def _worker(topology: Topology, stage: Stage) -> list[Privilege]:
    return [
        *_topics([stage.source], "read"),
        *_topics([*stage.outputs, DEAD_LETTERS], "write"),
        *_topics(_changelogs(stage), "read", "write"),
        # At its start: whether all topics are there, and as the promises need them.
        *_topics(topology.topics, "describe"),
        *_topics(topology.changelogs, "describe_configs"),
        *_groups([stage], "read"),
        *_groups(topology.aggregates, "describe"),
        *_upstream(topology, stage),
        Privilege("transactional_id", f"{stage.name}-", "write", prefixed=True),
        # For the group protocol `consumer`, whose session time-out is kept by the broker.
        *_groups([stage], "describe_configs", "alter_configs"),
    ]


def _changelogs(stage: Stage) -> list[str]:
    return [table.changelog for table in stage.tables] if isinstance(stage, AggregateStage) else []


def _upstream(topology: Topology, stage: Stage) -> list[Privilege]:
    """To say whether a message has come through the stages before: how far they are, and what is left to them."""
    if not isinstance(stage, AggregateStage):
        return []
    way = topology.way_to(stage)
    return [*_topics([each.source for each in way], "read"), *_groups(way, "describe")]


def _query(topology: Topology) -> list[Privilege]:
    return [
        *_groups(topology.aggregates, "describe"),
        *_topics([each.source for each in topology.aggregates], "describe"),
    ]


def _console(topology: Topology) -> list[Privilege]:
    return [
        *_topics(topology.topics, "describe"),
        *_topics([DEAD_LETTERS], "read"),
        *_groups(topology.stages, "describe"),
    ]


def _forget(topology: Topology) -> list[Privilege]:
    return [
        *_topics([stage.source for stage in topology.aggregates], "write"),
        *_topics(keyed_topics(topology), "read", "describe_configs"),
    ]


def _redrive(topology: Topology) -> list[Privilege]:
    return [
        *_topics([DEAD_LETTERS], "read"),
        *_topics([REDRIVEN], "read", "write"),
        *_topics([stage.source for stage in topology.stages if getattr(stage, "redrive", None) is None], "write"),
        Privilege("transactional_id", TRANSACTIONAL_ID, "write"),
    ]


def _administer(topology: Topology) -> list[Privilege]:
    return [
        *_topics(topology.topics, "create", "delete", "describe_configs"),
        # To set a group's offsets takes the right to read what they are of.
        *_topics([stage.source for stage in topology.stages], "read"),
        *_groups(topology.stages, "read"),
    ]


def _distinct(rights: Iterable[Privilege], prefix: str) -> list[Privilege]:
    """Each once, none that another includes, with the pipeline's prefix."""
    found = dict.fromkeys(rights)
    including = {(each.resource, each.name) for each in found if each.operation in {"read", "write", "delete", "alter"}}
    return [
        each._replace(name=prefix + each.name)
        for each in found
        if each.operation != "describe" or (each.resource, each.name) not in including
    ]
