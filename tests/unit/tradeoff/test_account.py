"""The account of what was sent, against the oracle; and what it says of a state that differs."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

from pipeline.rehearsal.ground import PARTITIONS
from pipeline.tradeoff.account import Account, Window, closed_windows
from pipeline.tradeoff.stream import Stream
from tests.oracle import readings as oracle
from tests.oracle.telemetry import TelemetryMessage, readings_of

SENT = 6_000


@pytest.fixture(scope="module")
def stream() -> Stream:
    made = Stream(devices=100, seed=3)
    made.readings(0, SENT)
    return made


@pytest.fixture(scope="module")
def expected(stream: Stream) -> oracle.Recount:
    sent = [TelemetryMessage(each.partition, each.offset, each.key or b"", each.value or b"")
            for each in stream.telemetry[:SENT]]  # fmt: skip
    return oracle.recount(readings_of(sent, partitions=PARTITIONS))


@pytest.fixture
def account(stream: Stream) -> Account:
    return Account(stream.telemetry[:SENT])


def results_of(expected: oracle.Recount) -> Counter[Window]:
    return Counter(
        (each["device_id"], each["metric"], each["window_start"])
        for results in expected.results.values()
        for each in results
    )


def test_it_agrees_with_the_oracle_on_states_and_results(
    stream: Stream, expected: oracle.Recount, account: Account
) -> None:
    results = results_of(expected)
    assert closed_windows(stream.telemetry[:SENT]) == results.keys()
    assert len(results) > SENT / 2, "nearly each reading closes a window"
    verdict = account.judge(expected.devices, results)
    assert verdict.exact
    assert verdict.devices == len(expected.devices) == 100
    assert verdict.readings == sum(device["readings"] for device in expected.devices.values())
    assert verdict.readings < SENT, "some are duplicates"
    assert verdict.results == len(results)


def test_it_counts_what_is_lost_and_what_is_doubled(expected: oracle.Recount, account: Account) -> None:
    states: dict[str, Any] = copy.deepcopy(expected.devices)
    first, second, third = sorted(states)[:3]
    gone = states.pop(first)["readings"]
    doubled = next(iter(states[second]["metrics"].values()))
    doubled["count"] += 2
    next(iter(states[third]["metrics"].values()))["sum"] += 1.0
    results = results_of(expected)
    lost, again = list(results)[:2]
    del results[lost]
    results[again] += 1
    results["nobody", "temperature", 0] = 1
    verdict = account.judge(states, results)
    assert (verdict.readings_lost, verdict.readings_doubled, verdict.wrong_sums) == (gone, 2, 1)
    assert (verdict.results_lost, verdict.results_doubled) == (1, 2)
    assert not verdict.exact


def test_where_no_results_are_sent_none_is_missed(expected: oracle.Recount, account: Account) -> None:
    verdict = account.judge(expected.devices, None)
    assert verdict.exact
    assert verdict.results == 0


def test_every_place_gets_the_same_readings(stream: Stream) -> None:
    again = Stream(devices=100, seed=3)
    assert again.readings(0, 50) == stream.readings(0, 50)
    assert again.readings(50, SENT) == stream.readings(50, SENT)
    assert again.telemetry[:SENT] == stream.telemetry[:SENT]
