"""Made-up telemetry: the same seed gives the same bytes, and what it says of itself is so."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from operators.api import Output, Record, Refusal
from operators.iot import topology
from operators.normalise import Normalise
from operators.testing import DictTable, everything
from operators.topology import AggregateStage
from pipeline.telemetry.generator import DEFAULT_START_MS, Plan, Telemetry
from pipeline.telemetry.poison import POISONS
from pipeline.telemetry.tally import BROKEN, DELAYED, FRESH, RETRANSMITTED
from tests.unit.telemetry.streams import NOW_MS, messages_of, record, tally_of

PLAN = Plan(devices=60, seed=7, bad=0.05)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert list(messages_of(PLAN, 9_000)) == list(messages_of(PLAN, 9_000))


@pytest.mark.parametrize("other", [replace(PLAN, seed=8), replace(PLAN, devices=61), replace(PLAN, start_ms=0)])
def test_another_plan_gives_other_bytes(other: Plan) -> None:
    assert list(messages_of(PLAN, 500)) != list(messages_of(other, 500))


def test_many_devices_are_worked_on_in_blocks_and_still_all_report_each_round() -> None:
    stream = Telemetry(Plan(devices=9_000, seed=1))
    first = next(iter(stream))
    assert len(first.messages) < stream.channels
    devices = {key for (key, _), _ in messages_of(Plan(devices=9_000, seed=1), stream.channels)}
    assert len(devices) == 9_000


def test_every_reading_is_accepted_and_every_broken_message_is_refused_for_its_reason() -> None:
    normalise = Normalise()
    kinds: Counter[str] = Counter()
    for offset, (message, code) in enumerate(messages_of(replace(PLAN, bad=0.3), 12_000)):
        verdict = normalise.transform(record(message, offset))
        if code < BROKEN:
            assert isinstance(verdict, Output), message
        else:
            poison = POISONS[code - BROKEN]
            assert isinstance(verdict, Refusal), poison.kind
            assert verdict.reason == poison.reason, poison.kind
            kinds[poison.kind] += 1
    assert set(kinds) == {poison.kind for poison in POISONS}
    assert tally_of(replace(PLAN, bad=0.3), 12_000).broken_by_kind == dict(kinds)


def test_a_broken_message_has_the_key_of_a_device_unless_its_kind_is_about_the_key() -> None:
    for (key, _), code in messages_of(replace(PLAN, bad=1.0), 3_000):
        kind = POISONS[code - BROKEN].kind
        if kind == "null-key":
            assert key is None
        else:
            assert key is not None
            assert key.startswith(b"not-") == (kind == "wrong-key")


@pytest.mark.parametrize("bad", [0.0, 0.01, 0.2, 1.0])
def test_the_share_of_broken_messages_is_what_was_asked(bad: float) -> None:
    tally = tally_of(replace(PLAN, devices=500, bad=bad), 40_000)
    assert tally.sent == 40_000
    assert tally.broken / tally.sent == pytest.approx(bad, rel=0.1)


def test_a_retransmission_repeats_an_earlier_message_to_the_byte() -> None:
    seen = set()
    repeats = 0
    for message, code in messages_of(replace(PLAN, bad=0.0), 20_000):
        assert (message in seen) == (code == RETRANSMITTED)
        seen.add(message)
        repeats += code == RETRANSMITTED
    assert repeats > 100


def test_each_gauge_reports_in_rising_time_but_for_delayed_readings_and_counts_anew_after_a_restart() -> None:
    last: dict[tuple[str, str], tuple[int, int]] = {}
    units: dict[tuple[str, str], str] = {}
    restarts = overtaken = 0
    for (_, value), code in messages_of(Plan(devices=100, seed=3), 60_000):
        reading = json.loads(value or b"")
        channel = reading["device_id"], reading["metric"]
        assert units.setdefault(channel, reading["unit"]) == reading["unit"]
        time, seq = last.get(channel, (0, -1))
        if code == FRESH:
            assert reading["event_time"] > time
            restarts += reading["seq"] <= seq
            last[channel] = reading["event_time"], reading["seq"]
        elif code == DELAYED:
            overtaken += reading["event_time"] < time
    assert restarts > 5
    assert overtaken > 500


def test_event_times_stay_below_the_end_that_a_batch_names() -> None:
    stream = iter(Telemetry(Plan(devices=30, seed=3)))
    for _ in range(50):
        batch = next(stream)
        times = [json.loads(value or b"")["event_time"] for _, value in batch.messages]
        assert min(times) >= DEFAULT_START_MS
        assert max(times) < batch.event_time_end


def test_the_state_folded_from_it_agrees_with_the_tally() -> None:
    plan, count = Plan(devices=40, seed=11, bad=0.02), 12_000
    stage = topology().stage("aggregate")
    assert isinstance(stage, AggregateStage)
    tables = {spec.name: DictTable(spec.value) for spec in stage.tables}
    aggregate = stage.operator(tables, everything)
    normalise = Normalise()
    windows = 0
    for offset, (message, _) in enumerate(messages_of(plan, count)):
        reading = normalise.transform(record(message, offset))
        if isinstance(reading, Output):
            outcome = aggregate.fold(Record(reading.key, reading.value, NOW_MS, "readings-id", 0, offset))
            assert not isinstance(outcome, Refusal)
            windows += len(outcome or ())
    for table in tables.values():
        table.commit()
    totals: Counter[str] = Counter()
    for spec in stage.tables:
        for key, value in tables[spec.name].rows().items():
            shown = spec.show(key, value)
            if spec.name == "device-state":
                totals.update(readings=shown["readings"], duplicates=shown["duplicates"])
                for metric in shown["metrics"].values():
                    totals.update({name: metric[name] for name in ("out_of_order", "late", "restarts", "too_old")})
    tally = tally_of(plan, count)
    assert totals["readings"] == tally.readings
    assert totals["duplicates"] == tally.duplicates
    assert totals["too_old"] == 0
    assert min(totals["out_of_order"], totals["late"], totals["restarts"], windows) > 0


def test_values_stay_within_what_the_gauge_can_read() -> None:
    values = defaultdict(list)
    for (_, value), _ in messages_of(Plan(devices=200, seed=5), 20_000):
        reading = json.loads(value or b"")
        values[reading["metric"], reading["unit"]].append(reading["value"])
    assert len(values) >= 14
    assert all(0 <= each <= 100 for each in values["humidity", "percent"])
    assert len(set(values["temperature", "degF"])) > 500


@pytest.mark.parametrize("change", [{"devices": 0}, {"bad": 1.5}, {"interval_ms": 0}, {"seed": -1}, {"start_ms": -1}])
def test_a_plan_that_makes_no_sense_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a plan needs"):
        replace(PLAN, **change)  # type: ignore[arg-type]
