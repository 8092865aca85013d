"""`statelog demo` as a newcomer meets it: it proves what it says, and goes without a trace, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.log.admin import KafkaAdmin
from pipeline.settings import Settings
from tests.support.brokers import Kafka
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
STATELOG = (sys.executable, "-c", "from pipeline.cli.main import run; run()")
SMALL = ("--readings", "20000", "--devices", "300")


class Demo:
    """One run. Its TMPDIR is its own, so that whatever it leaves behind is known by that, files and processes."""

    def __init__(self, directory: Path, *arguments: str, bootstrap_servers: str | None = None) -> None:
        self.files = directory / "tmp"
        self.files.mkdir()
        self._output = directory / "output"
        others = {name: value for name, value in os.environ.items() if not name.startswith("STATELOG_")}
        named = {"STATELOG_BOOTSTRAP_SERVERS": bootstrap_servers} if bootstrap_servers else {}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*STATELOG, "demo", *SMALL, *arguments],
                cwd=ROOT,
                env={**others, **named, "TMPDIR": str(self.files)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self._output.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has said with --json."""
        return [json.loads(line) for line in self.text.splitlines(keepends=True) if line.endswith("}\n")]

    def pids(self) -> list[int]:
        """Every process that has this run's TMPDIR in its environment."""
        listed = subprocess.run(["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        of_ours = [line for line in listed.stdout.splitlines() if f"TMPDIR={self.files}" in line]
        return [int(line.split()[0]) for line in of_ours]

    def until(self, step: int) -> None:
        def reached() -> bool:
            assert self.process.poll() is None, self.text
            return any(line.get("step") == step for line in self.lines)

        eventually(reached, f"step {step} begins", within_s=300)

    def ends(self) -> int:
        return self.process.wait(600)

    def assert_gone(self) -> None:
        eventually(lambda: not self.pids(), "every process is gone")
        eventually(lambda: not list(self.files.iterdir()), "every file is gone")


@contextmanager
def running(*arguments: str, directory: Path, bootstrap_servers: str | None = None) -> Iterator[Demo]:
    demo = Demo(directory, *arguments, bootstrap_servers=bootstrap_servers)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.wait()
        print(demo.text)


@pytest.mark.timeout(900)
def test_it_proves_everything_and_leaves_nothing(tmp_path: Path) -> None:
    with running(directory=tmp_path) as demo:
        eventually(lambda: "kill -9 aggregate-1" in demo.text or demo.process.poll() is not None,
                   "the worker is killed", within_s=600)  # fmt: skip
        assert len(demo.pids()) >= 10, "the demo, five processes and as many that watch over them"
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
    with running("--json", directory=tmp_path, bootstrap_servers=kafka.bootstrap_servers) as demo:
        demo.until(3)
        [topics] = [line["topics"] for line in demo.lines if "topics" in line]
        admin = KafkaAdmin(Settings(bootstrap_servers=kafka.bootstrap_servers))
        assert len(admin.topics(topics)) == len(topics) == 7
        os.kill(demo.process.pid, signal.SIGINT)
        assert demo.ends() == 130
        demo.assert_gone()
        eventually(lambda: not admin.topics(topics), "the topics are gone")
        admin.close()
    assert "Traceback" not in demo.text


@pytest.mark.timeout(600)
def test_a_worker_that_dies_by_itself_is_named_with_its_log(kafka: Kafka, tmp_path: Path) -> None:
    with running("--json", directory=tmp_path, bootstrap_servers=kafka.bootstrap_servers) as demo:
        demo.until(3)
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
    with running("--json", directory=tmp_path) as demo:
        demo.until(3)
        assert len(demo.pids()) >= 10
        demo.process.kill()
        demo.ends()
        demo.assert_gone()
