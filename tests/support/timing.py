"""How long something takes, on a machine that may be busy with something else."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def least_s(measure: Callable[[], float], promised_s: float, *, times: int = 5) -> float:
    """The least of several measurements: what the machine has to do besides only ever adds to them.

    A promise that is kept at once is measured once.
    """
    least = measure()
    while least >= promised_s and (times := times - 1):
        least = min(least, measure())
    return least
