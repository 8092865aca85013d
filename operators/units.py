"""The unit registry: which units telemetry may use, and how each becomes the canonical unit of its dimension."""

from __future__ import annotations

from typing import Final, NamedTuple

from operators.compiled_units import COMPILED


class Conversion(NamedTuple):
    """How a unit becomes its canonical one: `(value + shift) * multiplier / divisor`.

    Shift and ratio are exact wherever doubles can hold them, so that 0 degC and 36 km/h come out as 32 degF and 10 m/s
    went in: a scale of 1/3.6 or an offset of -17.78 would have been rounded before the value ever met them.
    """

    unit: str
    shift: float
    multiplier: float
    divisor: float

    def apply(self, value: float) -> float:
        """The value in the canonical unit, -0 as 0; infinite when it exceeds what a double can hold."""
        return (value + self.shift) * self.multiplier / self.divisor + 0.0


UNITS: Final[dict[str, Conversion]] = {spelling: Conversion(*row) for spelling, row in COMPILED.items()}
"""By the spelling that telemetry uses; case matters, as it does in SI (mW, MW)."""
