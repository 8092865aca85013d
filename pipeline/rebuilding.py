"""Starting state anew: from the changelogs, from the source topic, or from nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from operators.topology import AggregateStage, Stage, Topology
from pipeline.errors import Misconfigured, Retryable
from pipeline.log.api import Admin, Committed, Log, TopicPartition
from pipeline.runtime.cluster import look_up
from pipeline.runtime.identity import application_of, group_of
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.settings import Settings
from pipeline.state.directory import remove_stores
from pipeline.topics import TopicPlan

PATIENCE_S = 60.0
PAUSE_S = 0.2


class Rebuilding:
    """What `statelog rebuild` and `statelog reset` do. Workers have to be stopped: each method checks it first.

    The group's offsets are not deleted but set, with the metadata of the new changelogs: to a worker, missing offsets
    beside a store would mean that state was lost.
    """

    def __init__(self, settings: Settings, topology: Topology, log: Log, admin: Admin) -> None:
        self._settings = settings
        self.topology = topology
        self._log = log
        self._admin = admin

    def missing_from_sources(self, stages: Sequence[Stage]) -> dict[TopicPartition, int]:
        """By source partition, how many of its first records are gone already and cannot be folded again."""
        partitions = [each for stage in stages for each in self._source(stage)]
        return {each: count for each, count in self._admin.earliest(partitions).items() if count > 0}

    def drop_stores(self, stages: Sequence[AggregateStage]) -> list[Path]:
        """Delete the stores under this data directory; workers rebuild them from the changelogs.

        Raises StateLocked when a worker has one open.
        """
        return [
            path
            for stage in stages
            for path in remove_stores(
                self._settings.data_dir, application_of(self._settings.prefix, self.topology, stage)
            )
        ]

    def from_source(self, stages: Sequence[AggregateStage]) -> list[str]:
        """Empty changelogs, and the source from its beginning; returns the topics made anew.

        Outputs that the stages sent before stay in their topics, and come once more.
        """
        self._require_stopped(stages)
        changelogs = [table.changelog for stage in stages for table in stage.tables]
        made = self._make_anew(changelogs)
        for stage in stages:
            self._begin_at_the_earliest(stage)
        return made

    def from_nothing(self) -> list[str]:
        """Everything but the topics that the pipeline reads and does not write; returns the topics made anew."""
        stages = self.topology.stages
        self._require_stopped(stages)
        written = {topic for stage in stages for topic in stage.outputs}
        given = {stage.source for stage in stages} - written
        made = self._make_anew([topic for topic in self.topology.topics if topic not in given])
        for stage in stages:
            self._begin_at_the_earliest(stage)
        return made

    def _require_stopped(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            group = group_of(self._settings.prefix, stage)
            members = self._admin.members(group)
            if members:
                raise Misconfigured(
                    f"group {group} has {len(members)} live members",
                    hint="stop its workers; one that was killed counts until its session ends",
                    members=",".join(sorted(member.client_id for member in members)),
                )

    def _make_anew(self, topics: Sequence[str]) -> list[str]:
        """Delete and create, with the same number of partitions and the same retention."""
        prefix = self._settings.prefix
        source = prefix + self.topology.stages[0].source
        retention_ms = int(self._admin.topic_configs([source])[source]["retention.ms"])
        names = [prefix + topic for topic in topics]
        self._admin.delete_topics(list(self._admin.topics(names)))
        self._repeat(lambda: self._require_gone(names))
        TopicPlan(self.topology, prefix, retention_ms).create(self._admin)
        return names

    def _require_gone(self, names: Sequence[str]) -> None:
        left = self._admin.topics(names)
        if left:
            raise Retryable("deleted topics are still there", hint="see the brokers' logs", topics=",".join(left))

    def _repeat(self, act: Callable[[], None]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return act()
            except Retryable:
                if time.monotonic() > give_up:
                    raise
                time.sleep(PAUSE_S)

    def _source(self, stage: Stage) -> list[TopicPartition]:
        topic = self._settings.prefix + stage.source
        return [TopicPartition(topic, each) for each in range(self._admin.topics([topic])[topic].partitions)]

    def _begin_at_the_earliest(self, stage: Stage) -> None:
        topics = look_up(self._admin, self._settings.prefix, stage)
        changelogs = {table: (topic_id, 0) for table, topic_id in topics.changelog_ids.items()}
        metadata = CommittedMetadata(topics.source_id, changelogs, partitions=topics.partitions)
        earliest = self._admin.earliest(self._source(stage))
        reader = self._log.reader(group_of(self._settings.prefix, stage))
        try:
            positions = {
                each: Committed(offset, msgspec.structs.replace(metadata, next_offset=offset).encode())
                for each, offset in earliest.items()
            }
            self._repeat(lambda: reader.commit(positions))
        finally:
            reader.close()
