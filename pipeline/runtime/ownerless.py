"""Partitions that the group has given to nobody, and the one member that sees to it.

A partition that moves is nobody's between two rebalances: its owner gives it back and joins again, and the next round
gives it away. A static member that is killed in between, and is back within its session, takes its old seat without a
rebalance: then there is no next round, and what it was giving back stays nobody's (classic protocol; with KIP-848 the
coordinator sees to it). So each member looks, a session after the group's last word: by then whoever had something to
give back has joined again or is out. If something is still nobody's, the first of the members joins anew.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import structlog

from pipeline.errors import Retryable
from pipeline.log.api import Admin, TopicPartition
from pipeline.runtime.clock import Clock

logger = structlog.get_logger(__name__)


class OwnerlessWatch:
    """Asked by the loop, which tells it what it hears. One question to the cluster for each word of the group."""

    def __init__(
        self,
        admin: Admin,
        group: str,
        client_id: str,
        partitions: Collection[TopicPartition],
        *,
        settle_s: float,
        clock: Clock,
    ) -> None:
        """`settle_s`: how long a rebalance may take until each member that takes part has joined again or is out."""
        self._admin = admin
        self._group = group
        self._client_id = client_id
        self._partitions = frozenset(partitions)
        self._settle_s = settle_s
        self._clock = clock
        self._look_at = math.inf

    def told(self) -> None:
        """The group has said who has what, or a part of it."""
        self._look_at = self._clock.monotonic() + self._settle_s

    def finds_any(self) -> bool:
        """Whether partitions are nobody's, and this member is the one that has to join anew.

        It may wait for the cluster, once after each word of the group.
        """
        if self._clock.monotonic() < self._look_at:
            return False
        self.told()  # should it be asked again: the group may not answer, or not change
        try:
            members = self._admin.members(self._group)
        except Retryable as error:
            logger.info("not known whether each partition has an owner", reason=str(error))
            return False
        nobodys = self._partitions.difference(*(member.partitions for member in members))
        if not nobodys:
            self._look_at = math.inf
            return False
        first = min((member.client_id for member in members), default=None)
        if first != self._client_id:
            return False
        logger.warning("partitions are nobody's", partitions=sorted(each.partition for each in nobodys))
        return True
