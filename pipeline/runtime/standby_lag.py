"""How far a worker's standbys are behind their owners: in changelog records, and in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.log.api import Committed
from pipeline.runtime.clock import Clock
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.view import StandbyLag
from pipeline.state.api import Position


class _Mark(NamedTuple):
    """What the owner had committed at some look, and the standby had not folded yet."""

    offsets: int
    """Of all changelogs together."""
    at: float


class _Seen(NamedTuple):
    current_at: float
    """When its owner had committed no more than the standby has folded by now."""
    mark: _Mark | None = None
    records: int | None = None


class StandbyLags:
    """Noted by the standbys' thread, read by any.

    A standby that was just as far as its owner is not behind; one whose store stands still is, by more each second,
    whatever the reason is: also one that fails and is begun anew, and one of a thread that has ended.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: Mapping[int, _Seen] = {}
        """By partition; replaced, never changed."""

    def follow(self, partition: int) -> None:
        """From now on there has to be a standby, if there is none yet."""
        if partition not in self._seen:
            self._seen = {**self._seen, partition: _Seen(self._clock.monotonic())}

    def forget(self, partition: int) -> None:
        """There need be none any more."""
        if partition in self._seen:
            self._seen = {each: seen for each, seen in self._seen.items() if each != partition}

    def note(self, partition: int, committed: Committed | None, position: Position) -> None:
        """What its owner has committed, and what the standby has folded. Raises StateLost for what no worker wrote."""
        now = self._clock.monotonic()
        seen = self._seen.get(partition, _Seen(now))
        changelogs = CommittedMetadata.decode(committed.metadata).changelogs if committed is not None else {}
        there, here = sum(offset for _, offset in changelogs.values()), sum(position.changelog_next.values())
        if here >= there:
            seen = _Seen(now)
        elif seen.mark is None:
            seen = seen._replace(mark=_Mark(there, now))
        elif here >= seen.mark.offsets:
            seen = _Seen(seen.mark.at, _Mark(there, now))
        self._seen = {**self._seen, partition: seen._replace(records=max(there - here, 0))}

    def now(self) -> dict[int, StandbyLag]:
        """By partition."""
        now = self._clock.monotonic()
        return {partition: StandbyLag(seen.records, now - seen.current_at) for partition, seen in self._seen.items()}
