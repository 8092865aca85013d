"""The demonstration's recount, by hand and against the account of the telemetry's maker."""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import Any

import pytest

from pipeline.rehearsal.recount import Sent, recount
from pipeline.telemetry.generator import Plan, Telemetry
from pipeline.telemetry.poison import Message
from pipeline.telemetry.tally import BROKEN, Tally


def reading(device: str = "press-1", **changes: Any) -> bytes:
    plain = {"device_id": device, "metric": "temperature", "value": 20.0, "unit": "degC", "event_time": 5, "seq": 0}
    return json.dumps(plain | changes).encode()


def sent(*values: bytes) -> list[Sent]:
    return [Sent(0, offset, json.loads(value)["device_id"].encode(), value) for offset, value in enumerate(values)]


def test_counts_and_sums_are_by_device_and_metric() -> None:
    counted = recount(sent(reading(), reading(seq=1, value=22.0), reading("pump-2"), reading(metric="dew")), [])
    assert counted.readings == 4
    assert counted.devices["press-1"].metrics["temperature"].count == 2
    assert counted.devices["press-1"].metrics["temperature"].sum == 42.0
    assert counted.devices["press-1"].metrics["dew"].count == 1
    assert counted.devices["pump-2"].metrics["temperature"].sum == 20.0


def test_the_same_bytes_again_are_a_duplicate() -> None:
    counted = recount(sent(reading(), reading(), reading(seq=1)), [])
    assert (counted.readings, counted.duplicates) == (2, 1)
    assert counted.devices["press-1"].duplicates == 1
    assert counted.good == {(0, 0), (0, 1), (0, 2)}


def test_what_was_broken_on_purpose_is_not_read() -> None:
    broken: Message = (b"press-1", b"{")
    counted = recount([Sent(1, 4, *broken), Sent(1, 5, b"press-1", None), *sent(reading())], {broken})
    assert counted.broken == {(1, 4), (1, 5)}
    assert counted.readings == 1


@pytest.mark.parametrize(
    ("value", "unit", "canonical"),
    [(212.0, "degF", 100.0), (2.0, "bar", 200_000.0), (3.0, "kPa", 3_000.0), (36.0, "km/h", 10.0),
     (5.0, "mm/s", 0.005), (230_000.0, "mV", 230.0), (1.5, "kW", 1_500.0)],
)  # fmt: skip
def test_sums_are_in_canonical_units(value: float, unit: str, canonical: float) -> None:
    counted = recount(sent(reading(value=value, unit=unit)), [])
    assert math.isclose(counted.devices["press-1"].metrics["temperature"].sum, canonical, rel_tol=1e-12)


def test_it_agrees_with_the_makers_account() -> None:
    records, broken, tally = [], set[Message](), Tally()
    for batch in islice(Telemetry(Plan(200, seed=3, bad=0.05)), 40):
        tally.add(batch.codes)
        broken |= {message for message, code in zip(batch.messages, batch.codes, strict=True) if code >= BROKEN}
        records += batch.messages
    counted = recount((Sent(0, offset, *message) for offset, message in enumerate(records)), broken)
    assert tally.duplicates
    assert (counted.readings, counted.duplicates) == (tally.readings, tally.duplicates)
    assert len(counted.broken) == tally.broken
