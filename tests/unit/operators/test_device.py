"""The device aggregate: what a reading changes, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from operators.api import Record, Refusal, TaskContext
from operators.device import MAX_METRICS
from schemas.reasons import Reason
from tests.oracle import Parameters
from tests.unit.operators.streams import Folded

MINUTE_MS = 60_000


class Device:
    """An aggregate and the readings of one device, which are numbered as telemetry is."""

    def __init__(self, context: TaskContext | None = None) -> None:
        self.folded = Folded(Parameters(), context) if context else Folded(Parameters())
        self._offset = 0

    def send(self, key: bytes = b"press-07", **fields: Any) -> str | None:
        """The reason of the refusal, if there is one."""
        self._offset += 1
        reading = {
            "device_id": "press-07",
            "metric": "temperature",
            "value": 20.0,
            "unit": "degC",
            "event_time": MINUTE_MS,
            "seq": None,
            "tags": None,
            "origin": ["topic", 0, self._offset],
        }
        return self.send_bytes(msgspec.json.encode(reading | fields), key)

    def send_bytes(self, value: bytes | None, key: bytes | None = b"press-07") -> str | None:
        outcome = self.folded.fold(Record(key, value, 7, "readings-id", 3, self._offset))
        return outcome.reason if isinstance(outcome, Refusal) else None

    @property
    def state(self) -> dict[str, Any]:
        self.folded.commit()
        state: dict[str, Any] = self.folded.states()["press-07"]
        return state


def test_a_device_is_shown_as_the_contract_says() -> None:
    device = Device()
    device.send(event_time=1_000, value=21.0, seq=16)
    device.send(event_time=1_500, value=23.0, seq=17)
    device.send(event_time=1_500, value=23.0, seq=17)
    assert device.state == {
        "device_id": "press-07",
        "first_seen": 1_000,
        "last_seen": 1_500,
        "readings": 2,
        "duplicates": 1,
        "metrics": {
            "temperature": {
                "unit": "degC",
                "count": 2,
                "sum": 44.0,
                "mean": 22.0,
                "variance": 1.0,
                "min": 21.0,
                "max": 23.0,
                "last": {"value": 23.0, "event_time": 1_500, "seq": 17},
                "out_of_order": 0,
                "late": 0,
                "restarts": 0,
                "too_old": 0,
            }
        },
    }


def test_metrics_stay_in_the_order_of_their_first_readings() -> None:
    device = Device()
    for metric in ("power", "energy", "power", "a"):
        device.send(metric=metric)
    assert list(device.state["metrics"]) == ["power", "energy", "a"]


def test_the_last_reading_is_the_later_record_on_a_tie() -> None:
    device = Device()
    device.send(event_time=5, value=1.0)
    device.send(event_time=5, value=2.0)
    assert device.state["metrics"]["temperature"]["last"]["value"] == 2.0
    assert device.state["metrics"]["temperature"]["out_of_order"] == 0


def test_first_seen_is_the_least_event_time_of_any_metric() -> None:
    device = Device()
    device.send(event_time=MINUTE_MS)
    device.send(metric="power", event_time=MINUTE_MS - 1)
    assert device.state["first_seen"] == MINUTE_MS - 1
    device.send(event_time=MINUTE_MS - 2)
    assert (device.state["first_seen"], device.state["last_seen"]) == (MINUTE_MS - 2, MINUTE_MS)


def test_a_late_reading_still_counts_in_the_statistics() -> None:
    device = Device()
    device.send(event_time=10 * MINUTE_MS)
    device.send(event_time=0, value=99.0)
    temperature = device.state["metrics"]["temperature"]
    assert (temperature["count"], temperature["max"], temperature["late"]) == (2, 99.0, 1)


def test_an_origin_folded_before_changes_nothing() -> None:
    device = Device()
    device.send(origin=["topic", 0, 5], seq=1)
    device.folded.commit()
    before = device.folded.committed()["device-state"].copy()
    assert device.send(origin=["topic", 0, 5], seq=1) is None
    assert device.send(origin=["topic", 0, 4], seq=9, event_time=2 * MINUTE_MS) is None
    device.folded.commit()
    assert device.folded.committed()["device-state"] == before


def test_origins_are_kept_apart_by_topic_id_and_partition() -> None:
    device = Device()
    for topic_id, partition in (("topic", 0), ("topic", 1), ("topic-re-created", 0), ("topic", 0)):
        device.send(origin=[topic_id, partition, 5])
    assert device.state["readings"] == 3


def test_an_origin_is_still_known_after_an_abort() -> None:
    device = Device()
    device.send(origin=["topic", 0, 5])
    device.folded.commit()
    device.send(origin=["topic", 0, 6])
    device.folded.roll_back()
    device.send(origin=["topic", 0, 5])
    assert device.state["readings"] == 1
    device.send(origin=["topic", 0, 6])
    assert device.state["readings"] == 2


def test_a_refused_reading_leaves_every_table_as_it_was() -> None:
    device = Device()
    device.send()
    device.folded.commit()
    before = {name: rows.copy() for name, rows in device.folded.committed().items()}
    assert device.send(unit="V") == Reason.UNIT_CHANGED
    assert device.send(key=b"press-08") == Reason.WRONG_KEY
    assert device.send_bytes(b"{") == Reason.NOT_JSON
    assert device.send_bytes(b"{}", key=None) == Reason.NULL_KEY
    device.folded.commit()
    assert device.folded.committed() == before


def test_a_key_of_another_partition_is_refused() -> None:
    device = Device(TaskContext(partition=3, owns=lambda key: key != b"press-07"))
    assert device.send() == Reason.WRONG_PARTITION
    assert device.send(key=b"press-08", device_id="press-08") is None


def test_a_known_device_is_not_asked_for_its_partition_again() -> None:
    asked: list[bytes] = []

    def owns(key: bytes) -> bool:
        asked.append(key)
        return True

    device = Device(TaskContext(partition=3, owns=owns))
    device.send()
    device.send()
    assert asked == [b"press-07"]


def test_a_device_has_at_most_64_metrics() -> None:
    device = Device()
    for number in range(MAX_METRICS):
        assert device.send(metric=f"m{number}") is None
    assert device.send(metric="one_more") == Reason.TOO_MANY_METRICS
    assert device.send(metric="m0") is None


def test_a_reading_too_old_to_tell_is_refused_and_counted_once() -> None:
    device = Device()
    device.send(seq=100)
    assert device.send(seq=36, origin=["topic", 0, 50]) == Reason.SEQ_TOO_OLD
    assert device.send(seq=36, origin=["topic", 0, 50]) is None  # its origin was counted
    assert device.state["metrics"]["temperature"]["too_old"] == 1
    assert device.state["readings"] == 1


def test_a_tombstone_forgets_the_device_in_every_table_but_origins() -> None:
    device = Device()
    for minute in range(10):
        device.send(event_time=minute * MINUTE_MS)
        device.send(event_time=minute * MINUTE_MS, metric="power")
    device.folded.commit()
    assert device.folded.window_rows()
    device.send_bytes(None)
    device.folded.commit()
    committed = device.folded.committed()
    assert (committed["device-state"], committed["device-windows"]) == ({}, {})
    assert len(committed["origins"]) == 1


def test_a_tombstone_of_an_unknown_device_is_nothing() -> None:
    assert Device().send_bytes(None) is None


def test_a_forgotten_device_begins_anew() -> None:
    device = Device()
    device.send(seq=9)
    device.send_bytes(None)
    device.send(seq=9, unit="V")
    assert device.state["readings"] == 1


def test_a_final_result_has_the_timestamp_of_the_reading_that_closed_it() -> None:
    device = Device()
    device.send(event_time=0)
    device.send(event_time=90_000)
    (output,) = device.folded.outputs
    assert (output.topic, output.key, output.timestamp_ms) == ("windows", b"press-07", 7)
    assert output.value == (
        b'{"device_id":"press-07","metric":"temperature","unit":"degC","window_start":0,"window_end":60000,'
        b'"count":1,"sum":20.0,"min":20.0,"max":20.0,"mean":20.0}'
    )


def test_windows_of_one_device_do_not_wait_for_another() -> None:
    device = Device()
    device.send(event_time=10 * MINUTE_MS)
    device.send(key=b"slow", device_id="slow", event_time=0)
    assert device.folded.outputs == []
    device.folded.commit()
    assert device.folded.states()["slow"]["metrics"]["temperature"]["late"] == 0


def test_ids_are_looked_at_closely_when_they_are_new() -> None:
    device = Device()
    assert device.send(key=b"press 7", device_id="press 7") == Reason.INVALID_ID
    assert device.send() is None
    assert device.send(metric="Temperature") == Reason.INVALID_ID


def test_a_known_metric_may_come_with_an_unknown_field() -> None:
    device = Device()
    for _ in range(2):
        assert device.send(firmware="2.1") is None
    assert device.state["readings"] == 2


def test_a_message_of_a_known_metric_may_not_be_too_large_either() -> None:
    device = Device()
    device.send()
    reading = (
        b'{"device_id":"press-07","metric":"temperature","value":1,"unit":"degC","event_time":1,"origin":["t",0,9]'
    )
    assert device.send_bytes(reading + b" " * 65_536 + b"}") == Reason.TOO_LARGE
    assert device.send_bytes(reading + b"}") is None


@pytest.mark.parametrize("value", [b"", b"null", b"[]", b'{"device_id":"press-07"}', b"\xff"])
def test_bytes_that_are_no_reading_are_refused_with_a_reason(value: bytes) -> None:
    device = Device()
    device.send()
    assert device.send_bytes(value) in set(Reason)
