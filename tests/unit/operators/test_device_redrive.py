"""What a device has folded since a reading was refused: said before the reading comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operators.api import Record, Refusal
from operators.device_redrive import DeviceRedrive

WINDOW_MS, GRACE_MS = 60_000, 30_000
REDRIVE = DeviceRedrive(window_ms=WINDOW_MS, grace_ms=GRACE_MS)


def _record(**changes: Any) -> Record:
    reading = {"device_id": "press-07", "metric": "level", "value": 1.0, "unit": "percent", "event_time": 119_999,
               "seq": None, "tags": None, "origin": ["yYhCXnSLTZS0ZtZNaZqVaA", 0, 1], **changes}  # fmt: skip
    return Record(b"press-07", json.dumps(reading).encode(), 0, "", 0, 0)


def _row(clock: int, **metrics: Any) -> dict[str, Any]:
    return {"metrics": {"level": {"unit": "percent", "last": {"event_time": clock}}, **metrics}}


@pytest.mark.parametrize("clock", [0, 119_998, 119_999])
def test_nothing_is_newer_at_the_reading_s_own_time_or_before(clock: int) -> None:
    assert REDRIVE.newer(_record(), _row(clock)) is None


@pytest.mark.parametrize(
    ("clock", "effect"),
    [(120_000, "out of order"), (149_999, "out of order"), (150_000, "late: its window is closed")],
)
def test_what_is_newer_is_named_with_what_it_makes_of_the_reading(clock: int, effect: str) -> None:
    told = REDRIVE.newer(_record(), _row(clock))
    assert told == f"level is at 1970-01-01T00:02:{'00' if clock < 121_000 else 29 + clock // 150_000}Z, " + (
        f"this one is of 1970-01-01T00:01:59Z: {effect}"
    )


def test_times_beyond_the_calendar_are_numbers() -> None:
    assert "level is at 999999999999999999," in str(REDRIVE.newer(_record(), _row(999_999_999_999_999_999)))


def test_another_unit_and_one_metric_too_many_are_refused_again() -> None:
    unit = REDRIVE.newer(_record(unit="Pa"), _row(0))
    assert isinstance(unit, Refusal)
    assert (unit.reason, unit.detail) == ("unit-changed", "the metric's unit is percent")
    full = _row(0, **{f"m{number}": {} for number in range(63)})
    assert REDRIVE.newer(_record(), full) is None
    refused = REDRIVE.newer(_record(metric="other"), full)
    assert isinstance(refused, Refusal)
    assert refused.reason == "too-many-metrics"
    assert REDRIVE.newer(_record(metric="other"), _row(0)) is None
