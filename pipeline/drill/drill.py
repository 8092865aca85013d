"""What a drill is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pipeline.rehearsal.time_outs import TimeOuts

if TYPE_CHECKING:  # the command lists the drills, and has to be quick
    from pipeline.drill.scene import Scene
    from pipeline.rehearsal.checks import Check

LIVELY = TimeOuts(10_000, 9_000)
"""Kafka's session is longer than a restart takes, and short enough to wait for where groups have to be deleted."""


class Drill(ABC):
    """One kind of fault, and how it is provoked."""

    name: ClassVar[str]
    shows: ClassVar[str]
    """What the pipeline withstands, in a line."""
    times: ClassVar[int]
    """How often the fault comes, unless the user says otherwise."""
    bad_percent: ClassVar[float] = 1.0
    """Share of broken messages in the input."""
    needs_own_broker: ClassVar[bool] = False
    time_outs: ClassVar[TimeOuts] = LIVELY
    """Of the workers."""

    @abstractmethod
    def provoke(self, scene: Scene, times: int) -> Sequence[Check]:
        """Let the fault come so often to a pipeline at work, each time until what it hit goes on.

        Returns checks that it hit: a fault that nobody felt proves nothing.
        """
