"""How soon somebody silent counts as gone."""

from __future__ import annotations

from typing import NamedTuple


class TimeOuts(NamedTuple):
    """The two time-outs of a worker, in milliseconds."""

    session: int
    """After this silence a worker counts as dead."""
    transaction: int
    """After this time its open transaction is aborted."""


UNHURRIED = TimeOuts(15_000, 12_000)
"""Longer than a restart: by its id a worker has its seat back at once, so nobody waits for these."""
