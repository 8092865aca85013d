"""How hard the fault tests try: enough for `make test`, or all of it for `make faults`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

Amount = TypeVar("Amount")


@dataclass(frozen=True)
class Scale:
    """A test asks it for each count that the two differ in: `kills = scale(12, full=200)`."""

    full: bool

    def __call__(self, bounded: Amount, *, full: Amount) -> Amount:
        return full if self.full else bounded
