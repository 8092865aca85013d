"""How hard the fault tests try: enough for `make test`, or all of it for `make faults`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from tests.support.waiting import PATIENCE_S

Amount = TypeVar("Amount")


@dataclass(frozen=True)
class Scale:
    """A test asks it for each count that the two differ in: `kills = scale(12, full=200)`."""

    full: bool

    def __call__(self, bounded: Amount, *, full: Amount) -> Amount:
        return full if self.full else bounded

    def within_s(self, promised_s: float) -> float:
        """The limit of something timed: what is promised at full length, which runs on a machine of its own.

        `make test` runs beside whatever else a machine does, and only tells late from never.
        """
        return promised_s if self.full else PATIENCE_S
