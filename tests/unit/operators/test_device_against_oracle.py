"""Differential: the device aggregate and the oracle, which share no code, on the same random readings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.api import Record
from tests.oracle import Parameters, differences, recount
from tests.unit.operators.streams import Folded, Step, events, for_oracle, long_stream, steps

parameters = st.builds(
    Parameters,
    window_ms=st.sampled_from([1, 10, 25]),
    grace_ms=st.sampled_from([0, 5, 40]),
    retention_ms=st.sampled_from([0, 15, 300, 86_400_000]),
    partitions=st.none(),
)


def check_against_oracle(stream: list[Step], given_parameters: Parameters) -> None:
    happened = events(stream)
    expected = recount(for_oracle(happened), given_parameters)
    folded = Folded(given_parameters).feed(happened)
    assert folded.refusals == expected.refusals
    assert folded.origin_rows() == expected.origins
    assert differences(expected.devices, folded.states()) == []
    assert differences(expected.results, folded.results()) == []
    assert differences(expected.rows, folded.window_rows()) == []
    assert differences(expected.open_windows, folded.open_windows()) == []


@settings(max_examples=150, deadline=None)
@given(steps(), parameters)
def test_states_results_and_rows_are_those_of_the_oracle(stream: list[Step], given_parameters: Parameters) -> None:
    check_against_oracle(stream, given_parameters)


@pytest.mark.parametrize("retention_ms", [0, 50, 300, 86_400_000])
@pytest.mark.parametrize("grace_ms", [0, 5, 40])
def test_long_streams_lead_where_the_oracle_says(grace_ms: int, retention_ms: int) -> None:
    for seed in range(10):
        check_against_oracle(long_stream(seed), Parameters(10, grace_ms, retention_ms))


@pytest.mark.parametrize("seed", range(10))
def test_where_commits_and_aborts_fall_does_not_matter_to_a_single_byte(seed: int) -> None:
    happened = events(long_stream(seed))
    in_one_go = [event for event in happened if isinstance(event, Record)]
    one, many = Folded(Parameters(10, 5, 300)).feed(in_one_go), Folded(Parameters(10, 5, 300)).feed(happened)
    assert one.committed() == many.committed()
    assert one.outputs == many.outputs


def test_the_long_streams_have_everything_in_them() -> None:
    states, reasons = [], set()
    for seed in range(20):
        folded = Folded(Parameters(10, 5, 300)).feed(events(long_stream(seed)))
        states += [metric for state in folded.states().values() for metric in state["metrics"].values()]
        reasons |= {reason for _, _, reason in folded.refusals}
    for count in ("out_of_order", "late", "restarts", "too_old"):
        assert sum(state[count] for state in states) > 20
    assert reasons == {"unit-changed", "seq-too-old"}


@pytest.mark.parametrize("field", ["count", "sum", "variance", "max", "late"])
def test_the_comparison_finds_a_field_that_is_off(field: str) -> None:
    happened = events([Step(0, 0, 5, 1, float(value)) for value in range(50)])
    expected = recount(for_oracle(happened)).devices
    actual = Folded(Parameters()).feed(happened).states()
    actual["d0"]["metrics"]["m0"][field] *= 1.00001
    actual["d0"]["metrics"]["m0"][field] += 1
    assert [line.split(":")[0] for line in differences(expected, actual)] == [f"d0.metrics.m0.{field}"]
