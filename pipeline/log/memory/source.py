"""A member of a consumer group on the in-memory cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import Fenced, PipelineError, SeatTaken, StateLost
from pipeline.log.api import Listener, Membership, TopicPartition
from pipeline.log.memory.fetching import Fetcher, OutOfRange
from pipeline.log.memory.membership import Membership as GroupMembership
from pipeline.log.memory.membership import News
from pipeline.log.memory.records import MemoryRecord

if TYPE_CHECKING:
    from pipeline.log.memory.cluster import MemoryCluster


class MemorySource:
    """`pipeline.log.api.Source`. A poll takes no time: it gives what is there."""

    def __init__(self, cluster: MemoryCluster, group: str, listener: Listener, membership: GroupMembership) -> None:
        self.membership_state = membership
        self._cluster = cluster
        self._group = group
        self._listener = listener
        self._fetcher = Fetcher(cluster.topics)
        self._failure: Exception | None = None
        self._closed = False

    def poll(self, limit: int, timeout_s: float) -> Sequence[MemoryRecord]:  # noqa: ARG002
        self._check_open()
        self._cluster.run_due()
        try:
            self.membership_state.serve(self._cluster.clock.now_ms, self._tell)
        except Fenced as error:
            raise SeatTaken("this member was thrown out of its group", group=self._group,
                            hint="another worker runs under the same --id; each needs its own") from error  # fmt: skip
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        try:
            return self._fetcher.poll(limit)
        except OutOfRange as error:
            raise StateLost("the source no longer holds what comes next: records were deleted unread",
                            hint="`statelog rebuild --from-source` folds what is left; `statelog reset` starts empty",
                            **error.data) from error  # fmt: skip

    def _tell(self, news: News, partitions: Sequence[TopicPartition]) -> None:
        if news is News.ASSIGNED:
            self._fetcher.add(dict.fromkeys(partitions, 0), paused=True)
        listen = {
            News.ASSIGNED: self._listener.assigned,
            News.REVOKED: self._listener.revoked,
            News.LOST: self._listener.lost,
        }[news]
        # The real client goes on after a failed callback too, and its poll raises what the first one met.
        try:
            listen(list(partitions))
        except Exception as error:
            self._failure = self._failure or error
        if news is not News.ASSIGNED:
            self._fetcher.remove(partitions)

    def membership(self) -> Membership:
        self._check_open()
        token = self.membership_state.token
        return Membership(token, member=token.generation >= 0)

    def position(self, partition: TopicPartition) -> int | None:
        self._check_open()
        return self._fetcher.position(partition)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._fetcher.pause(partitions)

    def resume(self, positions: Mapping[TopicPartition, int]) -> None:
        for partition, next_offset in positions.items():
            self._fetcher.seek(partition, next_offset)

    def join_anew(self) -> None:
        self._check_open()
        self.membership_state.join_anew()

    def close(self) -> None:
        if self._closed:
            return
        self._cluster.run_due()
        self.membership_state.close(self._cluster.clock.now_ms, self._tell)
        self._closed = True
        if self._failure is not None:
            failure, self._failure = self._failure, None
            if isinstance(failure, PipelineError):
                raise failure
            raise RuntimeError("a rebalance callback failed while the consumer closed") from failure

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("consumer closed")
