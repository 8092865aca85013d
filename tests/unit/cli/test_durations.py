"""Durations and instants as people type them."""

from __future__ import annotations

import time

import pytest

from pipeline.cli.durations import instant_ms, milliseconds
from pipeline.errors import Misconfigured


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7d", 604_800_000), ("12h", 43_200_000), ("30m", 1_800_000), ("90s", 90_000), ("5ms", 5), ("forever", -1)],
)
def test_a_duration_has_a_number_and_a_unit(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "7 d", "-1d", "1.5h", "7days"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="no duration"):
        milliseconds(text)


@pytest.mark.parametrize(
    "text",
    ["1735689600000", "2025-01-01T00:00:00Z", "2025-01-01", "2025-01-01T01:00:00+01:00", "2025-01-01T00:00:00.000"],
)
def test_an_instant_is_milliseconds_or_rfc_3339_with_utc_where_it_names_no_zone(text: str) -> None:
    assert instant_ms(text) == 1_735_689_600_000


def test_now_is_now() -> None:
    assert abs(instant_ms("now") - time.time() * 1000) < 60_000


def test_what_is_no_instant_is_refused() -> None:
    with pytest.raises(Misconfigured, match="no instant"):
        instant_ms("yesterday")
