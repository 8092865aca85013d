"""Which peers run, over which cells, with how many records."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.measure import Ground
from benchmarks.peers.registry import DEFAULT, PEERS
from benchmarks.suite import Cell, Suite, arguments_of, available, cells_of
from benchmarks.workloads import WORKLOADS


def test_a_machine_without_jdk_and_maven_skips_kafka_streams_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = StringIO()
    peers, skipped = available(["statelog", "kafka-streams"], Console(file=said, soft_wrap=True))
    assert [peer.name for peer in peers] == ["statelog"]
    assert skipped["kafka-streams"] == "needs a JDK of 17 or newer and Maven; not found: java, javac, mvn"
    assert f"kafka-streams is skipped: {skipped['kafka-streams']}" in said.getvalue()


def test_by_default_all_work_and_peers_are_there_and_each_kind_of_stream() -> None:
    arguments = arguments_of([])
    cells = cells_of(arguments)
    assert {cell.work.letter for cell in cells} == {"a", "b", "c", "d"}
    assert {(cell.devices, cell.keys) for cell in cells} == {
        (devices, keys) for devices in (10_000, 1_000_000) for keys in ("uniform", "zipf")
    }
    assert {"ceiling", "statelog", "kafka-streams", "kafka-streams-alos", "quix-streams", "faust"} <= set(DEFAULT)
    assert all(cell.peers <= set(DEFAULT) for cell in cells)
    assert next(cell.peers for cell in cells if cell.work.letter == "d") == set(DEFAULT)
    assert [cell.work.letter for cell in cells_of(arguments_of(["--work", "b"]))] == ["b"]
    assert {cell.peers for cell in cells_of(arguments_of(["--peers", "faust"]))} == {frozenset({"faust"})}
    assert len(cells_of(arguments_of(["--devices", "5", "7", "--keys", "zipf", "--work", "a", "d"]))) == 4


@pytest.mark.parametrize(
    ("peer", "devices", "records"),
    [("statelog", 10_000, 1_000_000), ("statelog", 1_000_000, 2_000_000), ("faust", 10_000, 50_000)],
)
def test_slow_peers_get_fewer_records_and_many_devices_more(peer: str, devices: int, records: int) -> None:
    suite = Suite(Ground("nowhere", None), [], 1_000_000, Console())
    assert suite._records_of(PEERS[peer], Cell(WORKLOADS["d"], devices, "uniform", frozenset())) == records
