"""Duplicates, restarts and hopelessly old readings, told by `seq` within a device's metric."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

REMEMBERED: Final = 64
"""How many numbers, up to the greatest, are known to have been folded or not."""
NONE_FOLDED: Final = (1 << REMEMBERED) - 1
_ONLY_ONE: Final = NONE_FOLDED - 1


class Verdict(IntEnum):
    """What a number makes of its reading."""

    NEW = 0
    RESTART = 1
    """New, and the device counts from anew."""
    DUPLICATE = 2
    TOO_OLD = 3


def judge(seq: int, greatest: int, missing: int, *, newer: bool) -> tuple[Verdict, int, int]:
    """Say what a reading's number makes of it, and what is to be remembered then: `greatest` and `missing`.

    Newer than the last (by event time), a reading is never a duplicate: a number at or below the greatest then tells
    that the device restarted, and the sequence begins anew. The window of numbers is the sliding bit mask of IPsec's
    replay check (RFC 4303, appendix A2), inverted, so that a sequence without gaps is all zeros.
    """
    ahead = seq - greatest
    if ahead > 0:
        return (
            Verdict.NEW,
            seq,
            (missing << ahead | (1 << ahead) - 2) & NONE_FOLDED if ahead < REMEMBERED else _ONLY_ONE,
        )
    if newer:
        return Verdict.RESTART, seq, _ONLY_ONE
    if ahead <= -REMEMBERED:
        return Verdict.TOO_OLD, greatest, missing
    if missing >> -ahead & 1:
        return Verdict.NEW, greatest, missing ^ 1 << -ahead
    return Verdict.DUPLICATE, greatest, missing
