"""The IoT topology as a whole: its tables' keys, what they show, and both operators in a row."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from operators.api import Output, Record
from operators.device import DEVICE_STATE, DEVICE_WINDOWS, ORIGINS
from operators.iot import topology
from operators.keys import origin_key, time_suffix, window_prefix
from operators.normalise import Normalise
from operators.topology import TableSpec
from schemas.results import DeviceState, WindowResult
from tests.oracle import Parameters, TelemetryMessage, differences, readings_of, recount
from tests.unit.operators.streams import Folded, events, long_stream


def table(name: str) -> TableSpec[Any]:
    return topology().table(name)[1]


def window_key(device_id: str, metric: str, start: int) -> bytes:
    return window_prefix(device_id, metric) + time_suffix(start)


def test_the_topics_are_those_of_the_contract() -> None:
    assert set(topology().topics) == {
        "telemetry",
        "readings",
        "windows",
        "dead-letters",
        "dead-letters-redriven",
        "device-state-changelog",
        "device-windows-changelog",
        "origins-changelog",
    }


def test_the_version_tells_topologies_with_other_parameters_apart() -> None:
    versions = {topology(*parameters).version for parameters in ((), (1_000,), (60_000, 0), (60_000, 30_000, 1))}
    assert len(versions) == 4


def test_rows_are_shown_in_the_published_schemas() -> None:
    folded = Folded(Parameters(10, 5, 300)).feed(events(long_stream(3)))
    devices, windows = table(DEVICE_STATE), table(DEVICE_WINDOWS)
    assert folded.devices.committed
    assert folded.windows.committed
    for key, row in folded.devices.rows().items():
        DeviceState.model_validate(devices.show(key, row))
        open_windows = devices.views["open-windows"](key, row)
        assert open_windows
        for window in open_windows:
            WindowResult.model_validate(window)
    for key, closed in folded.windows.rows().items():
        WindowResult.model_validate(windows.show(key, closed))
    for output in folded.outputs:
        WindowResult.model_validate_json(output.value or b"")


def test_fields_are_in_the_order_of_the_schema() -> None:
    folded = Folded(Parameters(10, 5, 300)).feed(events(long_stream(3)))
    assert list(msgspec.json.decode(folded.outputs[0].value or b"")) == list(WindowResult.model_fields)
    state = folded.states()["d0"]
    assert list(state) == list(DeviceState.model_fields)


def test_a_row_of_origins_is_local_and_shown() -> None:
    origins = table(ORIGINS)
    key = origin_key("yYhCXnSL", 3)
    assert origins.local
    assert origins.key.show(key) == "yYhCXnSL/3"
    assert origins.show(key, 17) == {"topic_id": "yYhCXnSL", "partition": 3, "offset": 17}
    with pytest.raises(ValueError, match="list them"):
        origins.key.parse("yYhCXnSL/3")


@pytest.mark.parametrize("text", ["press-07", "A.b_c:d-1", "x" * 64])
def test_a_device_id_is_a_key(text: str) -> None:
    key = table(DEVICE_STATE).key
    assert key.show(key.parse(text)) == text
    assert key.route(key.parse(text)) == text.encode()


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a/b", "é", "a\n"])
def test_what_is_no_device_id_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match="is no device id"):
        table(DEVICE_STATE).key.parse(text)


def test_a_window_is_routed_by_its_device() -> None:
    key = table(DEVICE_WINDOWS).key
    row = window_key("press-07", "temperature", 60_000)
    assert key.route(row) == key.parse("press-07") == b"press-07"
    assert key.show(row) == "press-07/temperature/60000"


def test_windows_are_in_the_order_of_device_metric_and_time() -> None:
    rows = [("a", "m", 256), ("a", "m", 2**40), ("a", "m2", 0), ("a", "m_2", 0), ("a.b", "m", 0), ("ab", "m", 0)]
    keys = [window_key(*row) for row in rows]
    assert keys == sorted(keys)


def selected(**parameters: str) -> list[tuple[str, int]]:
    """Which of some rows of device a are in the range; rows of its neighbours never are."""
    select = table(DEVICE_WINDOWS).select
    assert select is not None
    chosen = select(b"a", parameters)
    rows = [(device, metric, start) for device in ("a", "a.", "aa") for metric in ("m", "mm") for start in (0, 60, 120)]
    found = [
        row for row in rows if chosen.start <= window_key(*row) and (not chosen.stop or window_key(*row) < chosen.stop)
    ]
    assert {device for device, _, _ in found} <= {"a"}
    return [(metric, start) for _, metric, start in found]


def test_windows_are_selected_by_metric_and_time() -> None:
    assert len(selected()) == 6
    assert selected(metric="m") == [("m", 0), ("m", 60), ("m", 120)]
    assert selected(metric="m", **{"from": "60"}) == [("m", 60), ("m", 120)]
    assert selected(metric="mm", to="120") == [("mm", 0), ("mm", 60)]
    assert selected(metric="m", to="61", **{"from": "1"}) == [("m", 60)]


@pytest.mark.parametrize(
    "parameters", [{"from": "1"}, {"to": "1"}, {"metric": "M"}, {"metric": "m", "to": "-1"}, {"metric": "m", "to": "²"}]
)
def test_parameters_that_select_nothing_sensible_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        selected(**parameters)


def test_telemetry_through_both_operators_leads_where_the_oracle_says() -> None:
    sent = [
        TelemetryMessage(
            0,
            0,
            b"press-07",
            b'{"device_id":"press-07","metric":"t","value":212,"unit":"degF",'
            b'"event_time":"2013-12-02T21:15:00.5Z","seq":0}',
        ),
        TelemetryMessage(
            0,
            1,
            b"press-07",
            b'{"device_id":"press-07","metric":"t","value":"hot","unit":"degF","event_time":1386018900000}',
        ),
        TelemetryMessage(
            0,
            2,
            b"press-07",
            b'{"device_id":"press-07","metric":"v","value":36,"unit":"km/h",'
            b'"event_time":1386018900000,"tags":{"site":"lyon"}}',
        ),
        TelemetryMessage(
            0,
            3,
            b"press-07",
            b'{"device_id":"press-07","metric":"t","value":-40,"unit":"degF","event_time":1386018990500,"seq":1}',
        ),
    ]
    transform, folded = Normalise(), Folded(Parameters())
    refused = set()
    for message in sent:
        record = Record(message.key, message.value, 1386018990500, "telemetry-id", message.partition, message.offset)
        outcome = transform.transform(record)
        if isinstance(outcome, Output):
            folded.fold(Record(outcome.key, outcome.value, 1386018990500, "readings-id", 0, message.offset))
        else:
            refused.add(message)
    folded.commit()
    readings = readings_of(sent, partitions=1, accepted=lambda message: b"hot" not in message.value)
    expected = recount(readings, Parameters(partitions=1))
    assert refused == {sent[1]}
    assert differences(expected.devices, folded.states(), converted=True) == []
    assert differences(expected.rows, folded.window_rows(), converted=True) == []
    assert len(expected.rows["press-07"]) == 1
