"""Two JSON documents side by side: every field, with as much exactness as arithmetic allows."""

from __future__ import annotations

from typing import Any, Final

_ROUNDED: Final = {"sum": 1e-9, "mean": 1e-9, "variance": 1e-6}
"""Relative tolerance of what is rounded on the way; all other fields are exact."""
_CONVERTED: Final = frozenset({"min", "max", "value"})
"""Fields that a conversion of units has rounded once."""


def differences(expected: Any, actual: Any, *, converted: bool = False, limit: int = 20) -> list[str]:
    """What differs, a line a field, at most `limit` lines.

    Exact for all but sums, means and variances; with `converted`, single values too may be off by a rounding, as they
    are where this side and the other convert units by different formulas.
    """
    found: list[str] = []
    _compare("", expected, actual, {}, converted, found, limit)
    return found


def _compare(
    path: str, expected: Any, actual: Any, siblings: dict[str, Any], converted: bool, found: list[str], limit: int
) -> None:
    if len(found) >= limit:
        return
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in [*expected, *(name for name in actual if name not in expected)]:
            here = f"{path}.{name}" if path else str(name)
            if name not in actual:
                found.append(f"{here}: missing, expected {_short(expected[name])}")
            elif name not in expected:
                found.append(f"{here}: not expected, got {_short(actual[name])}")
            else:
                _compare(here, expected[name], actual[name], expected, converted, found, limit)
        del found[limit:]
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            found.append(f"{path}: expected {len(expected)} items, got {len(actual)}")
        for index, pair in enumerate(zip(expected, actual, strict=False)):
            _compare(f"{path}[{index}]", *pair, {}, converted, found, limit)
    elif not _equal(path.rpartition(".")[2], expected, actual, siblings, converted):
        found.append(f"{path}: expected {_short(expected)}, got {_short(actual)}")


def _equal(field: str, expected: object, actual: object, siblings: dict[str, Any], converted: bool) -> bool:
    if not isinstance(expected, float) or not isinstance(actual, float):
        return type(expected) is type(actual) and expected == actual
    off = abs(expected - actual)
    if field in _ROUNDED:
        return off <= _ROUNDED[field] * abs(expected) + 1e-12 * _scale(field, siblings)
    return off <= 1e-12 * max(abs(expected), 1.0) if converted and field in _CONVERTED else off == 0


def _scale(field: str, siblings: dict[str, Any]) -> float:
    """How large the numbers are that were added up: a sum near zero of large numbers has their rounding."""
    largest = max(abs(float(siblings["min"])), abs(float(siblings["max"])))
    return {"sum": largest * float(siblings["count"]), "mean": largest, "variance": largest * largest}[field]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
