"""Waiting for what must come, at whatever speed the machine has."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 120.0
"""So generous that only what never comes fails for it."""


def eventually(true: Callable[[], bool], what: str, within_s: float = PATIENCE_S, *, pause_s: float = 0.05) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(pause_s)
