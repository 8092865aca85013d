"""`statelog demo` as a newcomer meets it: it proves what it says, and goes without a trace, however it ends."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from pipeline.log.admin import KafkaAdmin
from pipeline.settings import Settings
from tests.support.brokers import Kafka
from tests.support.command_run import running
from tests.support.waiting import eventually

SMALL = ("demo", "--readings", "20000", "--devices", "300")


@pytest.mark.timeout(900)
def test_it_proves_everything_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, *SMALL) as demo:
        eventually(lambda: "kill -9 aggregate-1" in demo.text or demo.process.poll() is not None,
                   "the worker is killed", within_s=600)  # fmt: skip
        # One less for a moment, in which the killed worker is not started again yet.
        eventually(lambda: len(demo.pids()) >= 10, "the demo, five processes and as many that watch over them")
        assert demo.ends() == 0
        demo.assert_gone()
    text = demo.text
    assert "Proved: nothing lost, nothing doubled" in text
    assert "\x1b" not in text
    assert "\r" not in text
    assert "Traceback" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    for step in range(1, 8):
        assert re.search(rf"^ *\d+\.\d s  {step}  ", text, re.MULTILINE), f"step {step} is announced"
    hit = re.search(r"it held partitions [\d, ]+, with ([\d,]+) readings folded and not committed", text)
    assert hit
    assert int(hit[1].replace(",", "")) > 0
    assert re.search(r"restored \d +[\d,]+ records in \d+\.\d\d s, [\d,]+/s", text)
    for check in ("readings folded", "readings lost", "readings doubled", "dead letters, of broken messages sent",
                  "live store = changelog replayed", "live store = source folded anew",
                  "rebuilt from nothing = before, same position"):  # fmt: skip
        assert re.search(rf"^ +ok +{check} ", text, re.MULTILINE), check
    for measured in ("produced", "two transform workers", "two aggregate workers", "restore after the kill",
                     "kill -9 to first answer"):  # fmt: skip
        assert re.search(rf"^ +{measured} +[\d.,]+ ", text, re.MULTILINE), measured


@pytest.mark.timeout(600)
def test_interrupted_it_leaves_nothing_on_a_cluster_of_others(kafka: Kafka, tmp_path: Path) -> None:
    with running(tmp_path, *SMALL, "--json", bootstrap_servers=kafka.bootstrap_servers) as demo:
        demo.until_told("step", 3)
        topics = demo.told("topics")
        admin = KafkaAdmin(Settings(bootstrap_servers=kafka.bootstrap_servers))
        assert len(admin.topics(topics)) == len(topics) == 8
        os.kill(demo.process.pid, signal.SIGINT)
        assert demo.ends() == 130
        demo.assert_gone()
        eventually(lambda: not admin.topics(topics), "the topics are gone")
        admin.close()
    assert "Traceback" not in demo.text


@pytest.mark.timeout(600)
def test_a_worker_that_dies_by_itself_is_named_with_its_log(kafka: Kafka, tmp_path: Path) -> None:
    with running(tmp_path, *SMALL, "--json", bootstrap_servers=kafka.bootstrap_servers) as demo:
        demo.until_told("step", 3)
        [pid] = [line["pid"] for line in demo.lines if line.get("worker") == "transform-0"]
        os.kill(pid, signal.SIGKILL)
        assert demo.ends() == 1
        demo.assert_gone()
    assert "worker transform-0 ended by itself" in demo.text
    logs = re.findall(r'^\{"log": "([a-z0-9-]+)", "lines": \["', demo.text, re.MULTILINE)
    assert logs == ["transform-0", "transform-1", "aggregate-0", "aggregate-1"]
    assert "Traceback" not in demo.text


@pytest.mark.timeout(600)
def test_killed_itself_it_takes_everything_with_it(tmp_path: Path) -> None:
    with running(tmp_path, *SMALL, "--json") as demo:
        demo.until_told("step", 3)
        assert len(demo.pids()) >= 10
        demo.process.kill()
        demo.ends()
        demo.assert_gone()
