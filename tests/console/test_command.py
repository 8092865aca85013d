"""`statelog console`, as it is started and as it ends, over a pipeline that has no worker yet."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.command_run import CommandRun, running
from tests.support.web import first_sample

pytestmark = pytest.mark.timeout(600)


@contextmanager
def started(kafka: Kafka, prefix: str, directory: Path) -> Iterator[tuple[CommandRun, str]]:
    with running(directory, "console", "--json", "--http", "127.0.0.1:0", "--prefix", prefix,
                 bootstrap_servers=kafka.bootstrap_servers) as command:  # fmt: skip
        command.until_told("console")
        yield command, command.told("console")


def test_it_tells_its_address_shows_what_there_is_and_ends(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path / "cluster", partitions=2) as cluster:
        cluster.send("telemetry", [(b"press-07", b"{}")] * 3)
        with started(kafka, prefix, tmp_path) as (command, url):
            sample = first_sample(url)
            assert sample["topics"]["telemetry"]["end"] == 3
            assert sample["stages"]["transform"]["lag"] == 3
            assert [row["state"] for row in sample["partitions"]] == ["unassigned"] * 2
            assert sample["trouble"] == []
            assert httpx.post(f"{url}api/order/kill?worker=a", timeout=60).status_code == 405
            command.process.send_signal(signal.SIGTERM)
            assert command.ends() == 0
            command.assert_gone()
    assert "Traceback" not in command.text


def test_a_pipeline_that_is_not_there_is_told_on_the_page(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    with started(kafka, prefix, tmp_path) as (_, url):
        trouble = " ".join(first_sample(url)["trouble"])
    assert f"{prefix}telemetry" in trouble
    assert "statelog topics create" in trouble
