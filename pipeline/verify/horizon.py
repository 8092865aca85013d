"""When a fold of a compacted log, up to an offset p, is still the fold of what was written up to p.

Compaction removes a record when a later one of its key lies below the cleaner's bound C. A record below p is missed
when all that came after it lies at p or beyond, so the fold is exact as long as C has never passed p. The broker keeps
C at or below

- the end of the log: p is there, and so no committed record lies at p or beyond; or
- the first segment with a timestamp younger than `min.compaction.lag.ms`: the first record that is left at p or
  beyond is that young, with the time that the reading took already counted.

If compaction did pass p, the key's last record below C is left, at p or beyond, older than the lag; so the first
record that is left there is older as well, and the second case says no. Only a tombstone can be that last record and
be gone in its turn, `delete.retention.ms` later: so a store that was last applied to longer ago is proved only where
nothing but a commit marker comes after it.
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline.log.api import Message

CLOCK_MARGIN_MS = 5 * 60_000
"""How far this machine's clock may be behind the broker's."""
MARKER = 1
"""Offsets that a commit leaves behind its last record."""


class Compaction(NamedTuple):
    """A changelog's settings, in milliseconds."""

    lag_ms: int
    delete_retention_ms: int


def why_inexact(
    position: int,
    last_stable: int,
    first_beyond: Message | None,
    compaction: Compaction,
    *,
    applied_at_ms: int,
    now_ms: int,
) -> str:
    """Why a fold up to `position` may not be exact; empty when it is.

    `first_beyond` is the first committed record at `position` or beyond, looked for after the fold was read;
    `last_stable` is where that search ended, and `now_ms` is the time after it.
    """
    if last_stable <= position + MARKER:
        return ""
    if now_ms - applied_at_ms > compaction.delete_retention_ms - CLOCK_MARGIN_MS:
        return "deletions after the store's position may have expired"
    if first_beyond is None:
        return ""
    age_ms = now_ms - first_beyond.timestamp()[1]
    if age_ms < compaction.lag_ms - CLOCK_MARGIN_MS:
        return ""
    return (
        f"the store is {age_ms / 1000:.0f} s behind its changelog, and compaction keeps "
        f"{compaction.lag_ms / 1000:.0f} s whole"
    )
