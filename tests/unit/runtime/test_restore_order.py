"""The former owner of a partition may still commit while its successor asks where to begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import cast

import pytest

from pipeline.log.api import Committed, TopicPartition
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.restore import Plan
from pipeline.runtime.task import AggregateTask, SourceTask
from tests.support.waiting import eventually
from tests.unit.runtime.test_restorer import RECORDS, TABLES, Cluster, restorer_of

BEFORE = 30
"""Records in each changelog before the former owner's last commit, and so many of the source folded."""
QUESTIONS = 6


class Hasty(Cluster):
    """Where a commit comes, whole, just before the answer to one of the restore's questions."""

    def __init__(self, commits_before: int) -> None:
        super().__init__()
        self.asked = count()
        self._commits_before = commits_before
        self._done = False

    def _ask(self) -> int:
        """How far everything reaches when this question is answered."""
        self._done = self._done or next(self.asked) >= self._commits_before
        return RECORDS if self._done else BEFORE

    def high_watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self._ask())

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        end = self._ask()
        metadata = CommittedMetadata("source", dict.fromkeys(TABLES, ("id", end)), next_offset=end)
        return dict.fromkeys(partitions, Committed(end, metadata.encode()))

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        super().assign(positions)
        self._ask()


@pytest.mark.parametrize("commits_before", range(QUESTIONS))
def test_a_store_has_what_the_committed_offset_includes_whenever_that_was_committed(commits_before: int) -> None:
    restorer = restorer_of(Hasty(commits_before), 1)
    finished: list[tuple[SourceTask, Plan]] = []

    def comes_to_an_end() -> bool:
        restorer.step()
        assert restorer.take_failures() == []
        finished.extend(restorer.take_finished())
        return bool(finished)

    eventually(comes_to_an_end, "the restore comes to its end", pause_s=0.01)
    ((task, plan),) = finished
    position = cast(AggregateTask, task).store.position
    assert plan.source_next in {BEFORE, RECORDS}
    for table in TABLES:
        assert position.changelog_next[table] >= plan.source_next, "a record of the commit is missing"
