"""A Faust worker as tests treat it: started, supervised as the docs say, killed without a word."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from pipeline.faust_host.committed import committed_offsets
from pipeline.faust_host.dump import States, read
from pipeline.faust_host.exits import RESTARTABLE
from pipeline.faust_host.settings import Stages, app_id
from pipeline.log.kafka import connect
from tests.support.cluster import Cluster
from tests.support.reaper import ends_with_us
from tests.support.waiting import eventually
from tests.support.worker_process import LOG_TAIL, ROOT


class FaustWorker:
    """Use it in a `with`. `until` starts it again where a supervisor would, and notes that in `restarts`."""

    def __init__(
        self, cluster: Cluster, directory: Path, stages: Stages = "both", *, app: str = "pipeline.faust_host.app"
    ) -> None:
        """`app`: the module that Faust runs."""
        name = f"faust-{stages}"
        self._cluster = cluster
        self.stages: Stages = stages
        self.disk = directory / name / "disk"
        self.log = directory / f"{name}.log"
        settings = {**cluster.settings.model_dump(exclude_none=True), "id": name}
        self._environment = {f"STATELOG_{key.upper()}": str(value) for key, value in settings.items()}
        self._app = app
        self._options: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self.restarts: list[int] = []
        """The exit codes for which it was started again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        print(f"--- {self.log.name}, restarts {self.restarts}")
        print("\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:]))

    def start(self, *options: str) -> Self:
        """`options` of the command, instead of --without-web."""
        self._options = options or ("--without-web",)
        self._launch()
        return self

    def _launch(self) -> None:
        self.disk.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "faust", "-A", self._app, "--datadir", str(self.disk),
                 "worker", "-l", "info", *self._options],
                cwd=ROOT,
                env={**os.environ, **self._environment, "STATELOG_FAUST_STAGES": self.stages},
                stdout=file,
                stderr=file,
            )  # fmt: skip
        ends_with_us(self._process)

    @property
    def exit_code(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def kill(self) -> None:
        """SIGKILL, of a process that runs."""
        self._supervise()
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_at_work(self, begun: Callable[[], bool]) -> None:
        """SIGKILL, of a process that stands still with work begun and not finished, and would not stay so."""

        def stands_with_work() -> bool:
            self._supervise()
            assert self._process is not None
            self._process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if begun():
                return True
            self._process.send_signal(signal.SIGCONT)
            return False

        eventually(stands_with_work, "it has begun what it has not finished", pause_s=0.1)
        self.kill()

    def lose_disk(self) -> None:
        shutil.rmtree(self.disk)

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait, and meanwhile be its supervisor."""

        def supervised() -> bool:
            self._supervise()
            return true()

        eventually(supervised, what, pause_s=0.3)

    def ends(self, code: int, saying: str = "") -> None:
        """Wait until it ends by this code, with this in its log, and meanwhile be its supervisor."""

        def ended() -> bool:
            if self.exit_code == code and saying in self.log.read_text():
                return True
            self._supervise()
            return False

        eventually(ended, f"it ends by {code} {saying}", pause_s=0.3)

    def _supervise(self) -> None:
        """Start it again if it ended for a reason to do so."""
        code = self.exit_code
        if code is not None:
            assert code in RESTARTABLE, self.log.read_text()
            self.restarts.append(code)
            self._launch()

    @property
    def group(self) -> str:
        return app_id(self._cluster.settings.prefix, self.stages)

    def committed(self, topic: str) -> dict[int, int]:
        """By partition, the next offset that its group has committed; 0 for none."""
        found = committed_offsets(connect(self._cluster.settings), self.group, self._cluster.each_partition(topic))
        return {each.partition: 0 if there is None else there.next_offset for each, there in found.items()}

    def drain(self, *topics: str) -> None:
        """Wait until it has done all of these topics, in this order. Nobody else may write to the first."""
        for topic in topics:
            self.until(lambda topic=topic: self._done(topic), f"{topic} is done")  # type: ignore[misc]

    def _done(self, topic: str) -> bool:
        ends = self._cluster.admin.high_watermarks(self._cluster.each_partition(topic))
        committed = self.committed(topic)
        return all(committed[each.partition] >= end for each, end in ends.items())

    def states(self) -> States:
        """What its changelogs say."""
        return read(self._cluster.settings, self.stages)
