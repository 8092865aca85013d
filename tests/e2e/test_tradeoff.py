"""`statelog tradeoff` as a user meets it: a table, a plot, and nothing left behind, however it ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from pipeline.tradeoff.figures import MEASURES
from pipeline.tradeoff.redis_rows import RedisRows
from pipeline.tradeoff.redis_server import own_redis
from tests.support.brokers import Kafka
from tests.support.command_run import CommandRun, running
from tests.support.redis import needs_redis
from tests.support.waiting import eventually

SMALL = ("--readings", "3000", "--devices", "100", "--rate", "500", "--seconds", "2", "--json")


def assert_nothing_is_left(kafka: Kafka, run: CommandRun) -> None:
    """Neither a topic nor a group of its own."""
    run.assert_gone()
    prefixes = {each.removesuffix("windows") for line in run.lines for each in line.get("topics", [])
                if each.endswith("-windows") and not each.endswith("device-windows")}  # fmt: skip
    assert prefixes
    assert all(prefix.startswith("tradeoff-") for prefix in prefixes)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    eventually(lambda: not [each for each in admin.list_topics(timeout=10).topics if each.startswith(tuple(prefixes))],
               "the topics are gone")  # fmt: skip
    groups = admin.list_consumer_groups(request_timeout=10).result().valid
    assert not [each.group_id for each in groups if each.group_id.startswith(tuple(prefixes))]


@needs_redis
@pytest.mark.timeout(600)
def test_it_measures_with_somebody_elses_redis_and_leaves_nothing_in_it(kafka: Kafka, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    with own_redis(tmp_path) as redis:
        arguments = ("tradeoff", "redis", "recomputed", *SMALL, "--kills", "1", "--redis-url", redis.url)
        with running(tmp_path, *arguments, "--plot", str(plot), bootstrap_servers=kafka.bootstrap_servers) as run:
            assert run.ends() == 0, run.text
            assert_nothing_is_left(kafka, run)
        rows = RedisRows(redis.url, "")
        assert not [name for name in rows.info() if name.startswith("db")], "no key is left in any database"
        rows.close()
    table = {line["measured"].strip(): line for line in run.lines if line.get("table") == "tradeoff"}
    assert len(table) == len(MEASURES)
    assert table["readings folded a second, at full speed"]["redis"] > 0
    assert table["question to answer, p50, ms"]["recomputed"] > table["question to answer, p50, ms"]["redis"]
    assert table["bytes on disk beside the log, MB"]["redis"] == "-", "its disk is not seen"
    figures = {line["figures"]["place"]: line["figures"] for line in run.lines if "figures" in line}
    assert figures["redis"]["down"]["words"] == "not tried: the Redis is somebody else's"
    assert "recomputed" in run.told("verdict")
    assert "round trips" in plot.read_text() or "question to answer" in plot.read_text()
    assert "Traceback" not in run.text


@pytest.mark.timeout(600)
def test_interrupted_it_leaves_nothing(kafka: Kafka, tmp_path: Path) -> None:
    with running(tmp_path, "tradeoff", "memory", *SMALL, bootstrap_servers=kafka.bootstrap_servers) as run:
        eventually(lambda: "at full speed" in run.text or run.process.poll() is not None, "it is at work", 300)
        assert run.process.poll() is None, run.text
        os.kill(run.process.pid, signal.SIGINT)
        assert run.ends() == 130
        assert_nothing_is_left(kafka, run)
    assert "Traceback" not in run.text
