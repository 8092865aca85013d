"""One process's way to the in-memory cluster: where its clients come from, and what befalls them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.log.api import Listener
from pipeline.log.memory.admin import MemoryAdmin
from pipeline.log.memory.membership import Membership
from pipeline.log.memory.reader import MemoryReader
from pipeline.log.memory.sink import MemorySink
from pipeline.log.memory.source import MemorySource
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.log.memory.cluster import MemoryCluster

MAX_POLL_INTERVAL_MS = 60_000
"""As `pipeline.log.kafka` sets it."""


class MemoryLog:
    """`pipeline.log.api.Log`. Give each simulated process one of its own, so that it can die alone."""

    def __init__(
        self, cluster: MemoryCluster, settings: Settings, *, max_poll_interval_ms: int = MAX_POLL_INTERVAL_MS
    ) -> None:
        """Of the settings it takes the time-outs."""
        self._cluster = cluster
        self._settings = settings
        self._max_poll_interval_ms = max(max_poll_interval_ms, settings.session_timeout_ms)
        self._memberships: list[Membership] = []

    def source(
        self, topic: str, group: str, listener: Listener, *, instance_id: str | None, client_id: str
    ) -> MemorySource:
        self._cluster.run_due()
        membership = Membership(
            self._cluster.group(group),
            topic,
            client_id=client_id,
            instance_id=instance_id,
            session_timeout_ms=self._settings.session_timeout_ms,
            max_poll_interval_ms=self._max_poll_interval_ms,
            now_ms=self._cluster.clock.now_ms,
        )
        self._memberships.append(membership)
        self._cluster.watch(membership)
        return MemorySource(self._cluster, group, listener, membership)

    def sink(self, transactional_id: str) -> MemorySink:
        self._cluster.run_due()
        return MemorySink(self._cluster, transactional_id, self._settings.transaction_timeout_ms)

    def reader(self, group: str = "") -> MemoryReader:
        return MemoryReader(self._cluster, group)

    def admin(self) -> MemoryAdmin:
        return MemoryAdmin(self._cluster)

    def freeze(self) -> None:
        """The process stands still (SIGSTOP) or is dead (kill -9): nothing more is heard of it.

        Its open transactions and its seats stay until their time is over. Whoever plays the process makes no more
        calls, until `thaw`.
        """
        self._cluster.run_due()
        for membership in self._memberships:
            membership.freeze(self._cluster.clock.now_ms)

    def thaw(self) -> None:
        """The process goes on (SIGCONT), as if no time had passed."""
        self._cluster.run_due()
        for membership in self._memberships:
            membership.thaw()
