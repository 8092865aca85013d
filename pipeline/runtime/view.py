"""What a worker shows of itself to those who ask: queries, status, verification."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from operators.topology import AggregateStage, Topology
from pipeline.runtime.changes import Changes
from pipeline.runtime.hot_keys import Recent
from pipeline.state.api import Position, StoreIdentity, StoreView


class PartitionState(StrEnum):
    """What a worker is doing with a partition."""

    RESTORING = "restoring"
    ACTIVE = "active"
    STALE = "stale"
    """Held here, but for most of a session the loop has not run, or the group has not confirmed this worker: somebody
    else may own it by now."""


class PartitionStatus(msgspec.Struct, frozen=True):
    """One partition of one worker; `position` and `end` are of the source, of the changelogs while restoring."""

    partition: int
    state: PartitionState
    position: int
    end: int
    """The last stable offset, as far as known; -1 when unknown."""
    end_age_s: float
    """How old that knowledge is."""
    rate: float
    """Records a second, lately."""
    eta_s: float | None
    """Seconds to the end at that rate; None when it stands still."""


class Pulse(msgspec.Struct, frozen=True):
    """How a worker's loop is."""

    loop_age_s: float
    """Since it last went round."""
    stuck: int
    """Partitions that have work and have long made no progress."""
    confirmed_age_s: float | None = None
    """Since the group last confirmed the worker; None when it never has, or, for a stateless one, is not asked to."""


class HealthView(Protocol):
    """What the supervisor of a worker asks, of either kind; every method may be called from any thread."""

    def healthy(self) -> tuple[bool, str]:
        """Whether the loop lives, and if not, why."""
        ...

    def ready(self) -> tuple[bool, str]:
        """Whether every partition held here is active, and if not, why."""
        ...


class StandbyStatus(msgspec.Struct, frozen=True):
    """A store of this worker that follows another worker's; `position` and `end` are of the source."""

    partition: int
    restoring: bool
    """It is not caught up for the first time, or fell far behind: it is no prefix, and answers nothing."""
    position: int
    end: int
    """The last stable offset, as far as known; -1 when unknown."""
    end_age_s: float
    folded: int
    """The next changelog offsets to fold, over all tables."""


class StandbyLag(msgspec.Struct, frozen=True):
    """How far a standby that this worker has to keep is behind its owner."""

    records: int | None
    """Offsets of its changelogs that the owner has committed and it has not folded; None before it knows."""
    age_s: float
    """Since it was as far as its owner, or had to be there."""


class WorkerView(HealthView, Protocol):
    """An aggregate worker as its HTTP server sees it; every method may be called from any thread."""

    @property
    def worker_id(self) -> str: ...
    @property
    def topology(self) -> Topology: ...
    @property
    def stage(self) -> AggregateStage: ...
    @property
    def group(self) -> str: ...
    @property
    def generation(self) -> int:
        """Rises with each assignment change that this worker sees."""
        ...

    def partitions(self) -> list[PartitionStatus]: ...

    def state_of(self, partition: int) -> PartitionState | None:
        """None when the partition is not held here."""
        ...

    def recent(self, most: int, prefix: bytes = b"") -> Mapping[int, Recent]:
        """By partition that is active here, what came lately, with at most so many keys of those with that prefix."""
        ...

    @property
    def changes(self) -> Changes:
        """Where to hear of rows that commits touch."""
        ...

    def folded_to(self, partition: int) -> int:
        """Every record of the source before this offset is in the partition's store, or was refused. KeyError when it
        is not held here.
        """
        ...

    def view(self, partition: int) -> AbstractContextManager[StoreView]:
        """Committed state of a partition held here; KeyError when it is not. The store stays open until it is left."""
        ...

    def standbys(self) -> list[StandbyStatus]: ...

    def standby_view(self, partition: int) -> AbstractContextManager[StoreView]:
        """Committed state of a standby kept here; KeyError when there is none. StateUnusable for one in mid-restore."""
        ...

    def standby_checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        """A snapshot of a standby kept here; raises as `standby_view` does."""
        ...

    def checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        """A snapshot of an active store; KeyError when it is not held here, StateUnusable when not active."""
        ...
