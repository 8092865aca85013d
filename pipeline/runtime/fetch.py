"""A store from a peer: where a partition comes to a worker without a standby of it while another has one.

Beside the loop: whether a peer's checkpoint would save enough, and its transfer to a place of its own. The loop then
puts it where the store has its place, and the ordinary restore folds what is left. Whatever goes wrong on the way costs
the time that it took: the restore goes by the changelogs alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from pipeline.errors import PipelineError
from pipeline.log.api import Admin, TopicPartition
from pipeline.runtime.crash import CrashHook, CrashPoint
from pipeline.state.api import Position, StoreIdentity
from pipeline.state.directory import StateDirectory

WORTH_RECORDS = 50_000
"""Changelog offsets that a checkpoint has to save: a restore folds as many in a sixth of a second."""

logger = structlog.get_logger(__name__)


class Donors(Protocol):
    """The other workers of the stage."""

    def fetch(self, identity: StoreIdentity, beyond: int, into: Path) -> Position | None:
        """Take the best checkpoint that a peer has of this store, if it is beyond so many changelog offsets in all.

        `into` does not exist, and does only once all in it is what the peer said and this worker expected. None when
        no peer has one, and why not is in the log. Raises PipelineError when one had, and it came to nothing.
        """
        ...


class _Wanted(NamedTuple):
    identity: StoreIdentity
    changelogs: Mapping[TopicPartition, int]
    """Where the store here goes on, by changelog."""


class Fetcher:
    """`want`, `cancel`, `take_ended` and `place` come from the loop's thread."""

    def __init__(self, donors: Donors, stores: StateDirectory, admin: Admin, reach: CrashHook) -> None:
        self._donors = donors
        self._stores = stores
        self._admin = admin
        self._reach = reach
        self._wanted: dict[int, _Wanted] = {}
        self._ended: queue.SimpleQueue[tuple[int, _Wanted, Path | None]] = queue.SimpleQueue()
        self._orders: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def want(self, identity: StoreIdentity, changelogs: Mapping[TopicPartition, int]) -> None:
        """Look for a checkpoint of this store; `take_ended` tells what came of it."""
        self._wanted[identity.partition] = _Wanted(identity, changelogs)
        self._orders.put(identity.partition)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="statelog-fetcher", daemon=True)
            self._thread.start()

    def cancel(self, partition: int) -> None:
        """Nothing is wanted any more; what comes all the same is thrown away."""
        self._wanted.pop(partition, None)

    def take_ended(self) -> list[tuple[int, Path | None]]:
        """Partitions whose search has ended, with what was received, which is not in its place yet."""
        still: list[tuple[int, Path | None]] = []
        while not self._ended.empty():
            partition, wanted, received = self._ended.get()
            if self._wanted.get(partition) is wanted:
                del self._wanted[partition]
                still.append((partition, received))
            elif received is not None:
                self._stores.discard(received)
        return still

    def place(self, partition: int, received: Path) -> None:
        """Put it where the store has its place; what is there is closed, and goes."""
        self._stores.place(partition, received)
        self._reach(CrashPoint.RECEIVED)

    def stop(self) -> None:
        """A transfer under way is left to end by itself, and to the next start to clear away."""
        self._orders.put(None)

    def _run(self) -> None:
        while (partition := self._orders.get()) is not None:
            wanted = self._wanted.get(partition)
            if wanted is not None:
                self._ended.put((partition, wanted, self._fetch(wanted)))

    def _fetch(self, wanted: _Wanted) -> Path | None:
        here = sum(wanted.changelogs.values())
        partition = wanted.identity.partition
        try:
            ends = self._admin.high_watermarks(list(wanted.changelogs))
            if sum(ends.values()) - here < WORTH_RECORDS:
                return None
            into = self._stores.incoming(partition)
            position = self._donors.fetch(wanted.identity, here + WORTH_RECORDS, into)
        except PipelineError as error:
            logger.warning("no checkpoint from a peer", partition=partition, reason=str(error))
            return None
        if position is None:
            return None
        logger.info("checkpoint received", partition=partition, saved=sum(position.changelog_next.values()) - here)
        return into
