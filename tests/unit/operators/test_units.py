from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.compile_units import TARGET, source
from operators.unit_catalogue import CATALOGUE
from operators.units import UNITS

VALUES = st.floats(-1e15, 1e15)


def test_the_compiled_units_are_those_of_the_catalogue() -> None:
    assert TARGET.read_text(encoding="utf-8") == source(), "run `python -m operators.compile_units`"


@given(value=VALUES)
def test_fahrenheit_is_as_exact_as_the_formula(value: float) -> None:
    assert UNITS["degF"].apply(value) == (value - 32) * 5 / 9


@given(value=VALUES)
def test_a_canonical_unit_changes_nothing(value: float) -> None:
    for canonical in CATALOGUE:
        assert UNITS[canonical].unit == canonical
        assert UNITS[canonical].apply(value) == value


@pytest.mark.parametrize(
    ("value", "spelling", "expected", "unit"),
    [  # by hand, from the definitions of NIST SP 811
        (212.0, "degF", 100.0, "degC"),
        (0.0, "K", -273.15, "degC"),
        (1.0, "psi", 6894.757293168361, "Pa"),
        (760.0, "torr", 101325.0, "Pa"),
        (36.0, "km/h", 10.0, "m/s"),
        (1.0, "mph", 0.44704, "m/s"),
        (0.5, "ratio", 50.0, "percent"),
        (400.0, "ppb", 0.4, "ppm"),
        (73.9, "mV", 0.0739, "V"),
        (1.0, "kWh", 3.6e6, "J"),
        (1.0, "hp", 745.6998715822702, "W"),
        (60.0, "Hz", 60.0, "Hz"),
        (1.0, "rps", 60.0, "rpm"),
        (math.pi, "rad", 180.0, "deg"),
        (1.0, "in", 0.0254, "m"),
        (1.0, "gal", 0.003785411784, "m3"),
        (12.0, "\u00b5g/m\u00b3", 1.2e-8, "kg/m3"),
        (12.0, "\u03bcg/m3", 1.2e-8, "kg/m3"),
        (1.0, "gn", 9.80665, "m/s2"),
        (2.0, "MiB", 2097152.0, "B"),
        (3.0, "dBm", 3.0, "dBm"),
        (7.0, "C", 7.0, "C"),
    ],
)
def test_a_conversion_known_from_elsewhere(value: float, spelling: str, expected: float, unit: str) -> None:
    conversion = UNITS[spelling]
    assert conversion.unit == unit
    assert conversion.apply(value) == pytest.approx(expected, rel=1e-15, abs=0)


def test_minus_zero_is_zero_also_where_a_small_value_vanishes() -> None:
    for spelling, value in (("V", -0.0), ("mV", -0.0), ("mV", -5e-324), ("degF", 32.0)):
        assert math.copysign(1.0, UNITS[spelling].apply(value)) == 1.0


def test_a_spelling_fits_the_schema() -> None:
    assert all(1 <= len(spelling) <= 32 for spelling in UNITS)
