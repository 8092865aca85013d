"""Quix Streams at the suite's workloads; run by the peers' own Python.

quix_app WORK SERVERS GROUP SOURCE SOURCE_ID OUTPUT DIRECTORY UNITS
"""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application, State, message_context

from benchmarks.peers import plain

COMMIT_INTERVAL_S = 1.0
ROW = "row"


class Announced:
    """Says when the first record has come."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self) -> None:
        if not self._said:
            self._said = True
            print("began", flush=True)


def main(
    work: str, servers: str, group: str, source: str, source_id: str, output: str, directory: str, units_path: str
) -> None:
    began = Announced()
    app = Application(
        broker_address=servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_INTERVAL_S,
        processing_guarantee="exactly-once",
        state_dir=directory,
        loglevel="WARNING",
        consumer_extra_config={
            "fetch.queue.backoff.ms": 5,
            "queued.min.messages": 100_000,
        },
        producer_extra_config={"compression.type": "lz4", "linger.ms": 5, "batch.num.messages": 20_000},
    )
    readings = app.dataframe(app.topic(source, key_deserializer="str", value_deserializer="json"))

    def written() -> Any:
        return app.topic(output, key_serializer="str", value_serializer="json")

    if work == "a":
        units = plain.read_units(units_path)

        def normalised(value: Any, key: str, timestamp: int, _headers: Any) -> plain.Document | None:
            began()
            context = message_context()
            return plain.normalise(units, key, value, timestamp, [source_id, context.partition, context.offset])

        results = readings.apply(normalised, metadata=True)
        results.filter(lambda value: value is not None).to_topic(written())
    elif work == "b":

        def statistics(value: Any, key: str, _timestamp: int, _headers: Any, state: State) -> None:
            began()
            if value["device_id"] == key and (row := plain.fold_statistics(state.get(ROW), value)) is not None:
                state.set(ROW, row)

        readings.update(statistics, stateful=True, metadata=True)
    elif work == "c":

        def windows(value: Any, key: str, _timestamp: int, _headers: Any, state: State) -> list[plain.Document]:
            began()
            if value["device_id"] != key:
                return []
            row, closed = plain.fold_windows(state.get(ROW), value)
            if row is not None:
                state.set(ROW, row)
            return closed

        readings.apply(windows, stateful=True, metadata=True, expand=True).to_topic(written())
    else:

        def device(value: Any, key: str, _timestamp: int, _headers: Any, state: State) -> list[plain.Document]:
            began()
            if value["device_id"] != key:
                return []
            row, closed = plain.fold_device(state.get(ROW), value, state.set, state.delete)
            if row is not None:
                state.set(ROW, row)
            return closed

        readings.apply(device, stateful=True, metadata=True, expand=True).to_topic(written())
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
