"""Duplicates, restarts and hopelessly old readings, told by `seq` within a device's metric."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from schemas.state import MetricState

REMEMBERED: Final = 64
"""How many numbers, up to the greatest, are known to have been folded or not."""
NONE_FOLDED: Final = (1 << REMEMBERED) - 1
_ONLY_ONE: Final = NONE_FOLDED - 1


class Verdict(IntEnum):
    """What a number makes of its reading. `NEW` is false, so that `if verdict` finds those not to be folded."""

    NEW = 0
    DUPLICATE = 1
    TOO_OLD = 2


def judge(metric: MetricState, seq: int, event_time: int) -> Verdict:
    """Say whether a reading is to be folded, and remember its number.

    Newer than the last, it is never a duplicate: a number at or below the greatest then tells that the device
    restarted, and the sequence begins anew. The window of numbers is the sliding bit mask of IPsec's replay check
    (RFC 4303, appendix A2), inverted, so that a sequence without gaps is all zeros.
    """
    ahead = seq - metric.greatest_seq
    if ahead > 0:
        metric.greatest_seq = seq
        metric.missing = (metric.missing << ahead | (1 << ahead) - 2) & NONE_FOLDED if ahead < REMEMBERED else _ONLY_ONE
    elif event_time > metric.last_time:
        metric.greatest_seq = seq
        metric.missing = _ONLY_ONE
        metric.restarts += 1
    elif ahead <= -REMEMBERED:
        metric.too_old += 1
        return Verdict.TOO_OLD
    elif metric.missing >> -ahead & 1:
        metric.missing ^= 1 << -ahead
    else:
        return Verdict.DUPLICATE
    return Verdict.NEW
