"""What the Faust host knows, decoded from its changelogs: `python -m pipeline.faust_host.dump`, a JSON line a device.

Settings come from the same variables as the worker's. A changelog that is being written gives some moment of the past.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from operators.device import DEVICE_STATE, DEVICE_WINDOWS
from operators.topology import Topology
from pipeline.faust_host.ledger import Ledger, decode
from pipeline.faust_host.settings import FaustSettings, Stages, changelog_of
from pipeline.log.api import Log, TopicPartition
from pipeline.log.kafka import connect
from pipeline.runtime.start import load_topology
from pipeline.settings import Settings
from pipeline.state.envelope import unseal


class States(NamedTuple):
    """Rows as `statelog scan` shows them, by device."""

    devices: dict[str, Any]
    windows: dict[str, list[Any]]
    """By metric and start."""


def read(settings: Settings, stages: Stages) -> States:
    """From the changelogs. Raises Retryable."""
    log, topology = connect(settings), load_topology(settings)
    ledgers, windows = (
        _last_values(log, changelog_of(settings.prefix, stages, table)) for table in (DEVICE_STATE, DEVICE_WINDOWS)
    )
    return shown(topology, ledgers, windows)


def shown(topology: Topology, ledgers: Mapping[bytes, bytes], windows: Mapping[bytes, bytes]) -> States:
    """The rows of both tables, decoded, with what the ledgers have not settled yet laid over."""
    decoded: dict[bytes, Ledger] = {key: decode(data) for key, data in sorted(ledgers.items())}
    rows: dict[bytes, bytes | None] = dict(windows)
    for ledger in decoded.values():
        for effect in ledger.unsettled:
            rows.update(effect.rows)
    device_table, window_table = (topology.table(name)[1] for name in (DEVICE_STATE, DEVICE_WINDOWS))
    by_device: dict[str, list[Any]] = {}
    for key, row in sorted(rows.items()):
        if row is not None:
            result = window_table.show(key, window_table.value.decode(unseal(row)))
            by_device.setdefault(result["device_id"], []).append(result)
    devices = {
        key.decode(): device_table.show(key, ledger.device)
        for key, ledger in decoded.items()
        if ledger.device is not None
    }
    return States(devices, by_device)


def _last_values(log: Log, topic: str) -> dict[bytes, bytes]:
    admin, reader = log.admin(), log.reader()
    partitions = [TopicPartition(topic, number) for number in range(admin.topics([topic])[topic].partitions)]
    ends = {each: end for each, end in admin.high_watermarks(partitions).items() if end > 0}
    reader.assign(admin.earliest(list(ends)))
    values: dict[bytes, bytes] = {}
    while any((reader.position(each) or 0) < end for each, end in ends.items()):
        for message in reader.poll(10_000, 0.2):
            key, value = message.key(), message.value()
            if key is None:
                continue
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
    reader.close()
    admin.close()
    return values


def main() -> None:
    for device in read(Settings(), FaustSettings().stages).devices.values():
        print(json.dumps(device))


if __name__ == "__main__":
    main()
