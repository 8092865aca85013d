"""The canonical bytes of the IoT tables' rows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.statistics import empty
from schemas.state import LATEST, DeviceRow, MetricState, OpenWindow, StateCodec, Summary, WindowRow

count = st.integers(0, 2**53)
number = st.floats(allow_nan=False)
summary = st.builds(Summary, count, number, number, number, number)
time = st.integers(-1, 2**53)
latest = st.builds(
    LATEST.pack, time, count, number, number, number, number, time, number, time, time, st.integers(0, 2**64 - 1), time
)
metric = st.builds(
    MetricState,
    unit=st.text(max_size=8),
    latest=latest,
    settled=summary,
    older=st.lists(st.builds(OpenWindow, count, number, number, number, number, start=count), max_size=3),
    oldest_row=time,
    out_of_order=count,
    late=count,
    restarts=count,
    too_old=count,
)
device = st.builds(DeviceRow, count, count, st.dictionaries(st.text(max_size=8), metric, max_size=3))
window = st.builds(WindowRow, st.text(max_size=8), count, number, number, number, count, count)
row = st.one_of(
    st.tuples(st.just(DeviceRow), device), st.tuples(st.just(WindowRow), window), st.tuples(st.just(int), count)
)


@given(row)
def test_what_was_encoded_decodes_to_the_same_value_and_the_same_bytes(typed: tuple[type[Any], Any]) -> None:
    codec = StateCodec(typed[0])
    data = codec.encode(typed[1])
    assert codec.decode(data) == typed[1]
    assert codec.encode(codec.decode(data)) == data


@given(row, st.data())
def test_a_value_cut_short_or_grown_is_refused(typed: tuple[type[Any], Any], data: st.DataObject) -> None:
    codec = StateCodec(typed[0])
    encoded = codec.encode(typed[1])
    with pytest.raises(ValueError, match=r"."):
        codec.decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(ValueError, match=r"."):
        codec.decode(encoded + b"\x00")


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02\x93\x00\x00\x80", b"\x01\x92\x00\x00", b"\x80\x04N."])
def test_bytes_of_another_version_or_shape_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"a value of version|not a stored value"):
        StateCodec(DeviceRow).decode(data)


def test_a_row_of_another_table_is_refused() -> None:
    data = StateCodec(WindowRow).encode(WindowRow("degC", 1, 1.0, 1.0, 1.0, 0, 0))
    with pytest.raises(ValueError, match="not a stored value"):
        StateCodec(DeviceRow).decode(data)


def test_a_metric_whose_numbers_are_cut_short_is_refused() -> None:
    data = StateCodec(DeviceRow).encode(DeviceRow(0, 0, {"m": MetricState("degC", b"short", empty(), [])}))
    with pytest.raises(ValueError, match="not a stored value"):
        StateCodec(DeviceRow).decode(data)
