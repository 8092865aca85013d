"""Makes `compiled_units` from the catalogue, with pint: `python -m operators.compile_units`.

It is made beforehand because pint takes more than a second to load, which every worker would pay at each start.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pint

from operators.unit_catalogue import CATALOGUE
from operators.units import Conversion

_MICRO_SIGN: Final = "\u00b5"
_GREEK_MU: Final = "\u03bc"
"""What Unicode prefers for micro; keyboards give the other, which the catalogue has."""
_EXACT: Final = 2**53
"""Every whole number up to here is a double."""
TARGET: Final = Path(__file__).with_name("compiled_units.py")

_HEADER: Final = '''"""Unit conversions, made by `python -m operators.compile_units` from the catalogue: do not edit."""

from __future__ import annotations

COMPILED: dict[str, tuple[str, float, float, float]] = {
    # spelling: (canonical unit, shift, multiplier, divisor)
'''


def compile_units(catalogue: Mapping[str, Mapping[str, str]]) -> dict[str, Conversion]:
    """By spelling; ValueError for a spelling that two canonical units claim."""
    registry = pint.UnitRegistry(non_int_type=Fraction, cache_folder=None)
    registry.define("ppb = 1e-9")
    compiled: dict[str, Conversion] = {}
    for canonical, spellings in catalogue.items():
        for spelling, expression in spellings.items():
            if spelling in compiled:
                raise ValueError(f"{spelling} is given twice, for {compiled[spelling].unit} and for {canonical}")
            shift, ratio = Fraction(0), Fraction(1)
            if expression:
                shift, ratio = _linear(registry, expression, spellings[canonical])
            exact = max(ratio.as_integer_ratio()) <= _EXACT
            multiplier = float(ratio.numerator if exact else ratio)
            divisor = float(ratio.denominator if exact else 1)
            conversion = Conversion(canonical, float(shift), multiplier, divisor)
            compiled[spelling] = compiled[spelling.replace(_MICRO_SIGN, _GREEK_MU)] = conversion
    return compiled


def _linear(registry: Any, expression: str, canonical: str) -> tuple[Fraction, Fraction]:
    """The exact (shift, ratio) of `canonical = (value + shift) * ratio`."""
    zero, one = (Fraction(registry.Quantity(Fraction(value), expression).to(canonical).magnitude) for value in (0, 1))
    return zero / (one - zero), one - zero


def source() -> str:
    """The text of `compiled_units`."""
    rows = (
        f'    "{spelling}": ("{to.unit}", {to.shift}, {to.multiplier}, {to.divisor}),\n'
        for spelling, to in compile_units(CATALOGUE).items()
    )
    return f"{_HEADER}{''.join(rows)}}}\n"


if __name__ == "__main__":
    TARGET.write_text(source(), encoding="utf-8")
