from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.instant import milliseconds


@given(
    instant=st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),
    offset=st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_an_instant_is_whole_milliseconds_rounded_down(instant: datetime, offset: int) -> None:
    there = instant.replace(tzinfo=timezone(timedelta(minutes=offset)))
    since = there - datetime(1970, 1, 1, tzinfo=UTC)
    assert milliseconds(there.isoformat()) == since // timedelta(milliseconds=1)


def test_a_leap_second_is_the_second_after_it() -> None:
    assert milliseconds("2016-12-31T23:59:60.25Z") == milliseconds("2017-01-01T00:00:00.25Z")


@pytest.mark.parametrize(
    "text", ["", "now", "2024-01-01", "2024-01-01T00:00:00", "2024-02-30T00:00:00Z", "20240101T000000Z"]
)
def test_what_is_no_instant_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC3339|offset"):
        milliseconds(text)
