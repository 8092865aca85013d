"""One worker: a real process, with a disk, a log and a crash trace of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.broker.config import HOST
from pipeline.broker.ports import free_port
from pipeline.broker.process import SupervisedProcess
from pipeline.errors import PipelineError
from pipeline.runtime.crash import CrashPoint, CrashTrace
from pipeline.settings import Settings

TRANSFORM, AGGREGATE = "transform", "aggregate"
"""The stages of the topology that ships."""
LOG_TAIL = 12
_STATELOG = (sys.executable, "-c", "from pipeline.cli.main import run; run()")
_STALK_S = 0.3
_FREEZE_S = 0.01
"""More than it takes until a stopped process stands still."""


class WorkerProcess:
    """`statelog worker` under one id, over several lives; its disk stays from one to the next unless it is lost."""

    def __init__(
        self,
        stage: str,
        worker_id: str,
        directory: Path,
        settings: Settings,
        *,
        keeps_seat: bool,
        program: Sequence[str] = (*_STATELOG, "worker"),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """One that keeps its seat is the same member of its group at each start; another is somebody new.

        `program` takes the flags of `statelog worker`, and `environment` is beside the settings.
        """
        self.id = worker_id
        self.stage = stage
        self.address: str | None = None
        self.disk = directory / worker_id
        self._log = directory / f"{worker_id}.log"
        self._trace = directory / f"{worker_id}.trace"
        self._directory = directory
        flags = ["--data-dir", str(self.disk), *(["--id", worker_id] if keeps_seat else [])]
        if stage == AGGREGATE:
            # The same at each start: Kafka keeps a static member's client.id, and the address in it, over a restart.
            self.address = f"{HOST}:{free_port()}"
            flags += ["--http", self.address]
        self._command = [*program, stage, *flags]
        self._environment = {**_environment(settings), **environment, "STATELOG_CRASH_TRACE": str(self._trace)}
        self._process: SupervisedProcess | None = None
        self._life_begins_at = 0

    def start(self) -> None:
        """Start it; it joins its group some seconds later."""
        self._life_begins_at = self._log.stat().st_size if self._log.exists() else 0
        self._process = SupervisedProcess(
            self._command, output=self._log, orphan_directory=self._directory, environment=self._environment
        )

    @property
    def pid(self) -> int:
        return self._running().pid

    def require_alive(self) -> None:
        """Raises PipelineError when it has ended by itself."""
        if self._process is not None and not self._process.alive():
            raise PipelineError(f"worker {self.id} ended by itself", hint="the end of its log says why",
                                exit_code=self._process.wait())  # fmt: skip

    def freeze_in_open_work(self, since: CrashPoint = CrashPoint.FOLDED) -> int | None:
        """SIGSTOP it while it has readings folded and not committed; returns how many. `since`: how far it is at least.

        Seen at work it is stopped and looked at again, as it would not stay where it was seen to be. When it is not
        where it was, it goes on: then None, and try again.
        """
        give_up = time.monotonic() + _STALK_S
        while not self._in_open_work(since):
            if time.monotonic() > give_up:
                return None
            time.sleep(0.001)
        os.kill(self.pid, signal.SIGSTOP)
        time.sleep(_FREEZE_S)
        if not self._in_open_work(since):
            self.thaw()
            return None
        return CrashTrace.folded(self._trace)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def kill_in_open_work(self, since: CrashPoint = CrashPoint.FOLDED) -> int | None:
        """Kill -9 it while it has readings folded and not committed, as `freeze_in_open_work`."""
        if self.freeze_in_open_work(since) is None:
            return None
        os.kill(self.pid, signal.SIGKILL)
        self.end()
        return CrashTrace.folded(self._trace) if self._in_open_work(since) else 0

    @property
    def has_folded(self) -> bool:
        """Whether it has taken its first readings, in this life."""
        return self._trace.exists() and CrashTrace.folded(self._trace) > 0

    def peak_rss_mb(self) -> float | None:
        """The most memory that it held so far; None where the system does not tell."""
        try:
            told = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        return next((int(line.split()[1]) / 1024 for line in told.splitlines() if line.startswith("VmHWM:")), None)

    def _in_open_work(self, since: CrashPoint) -> bool:
        # Its first reading opens a transaction alone: look for more than that.
        at_work = since <= CrashTrace.last(self._trace) <= CrashPoint.OFFSETS_SENT
        return at_work and CrashTrace.folded(self._trace) > 1

    def lose_disk(self) -> tuple[int, int]:
        """Delete its stores; how many files and bytes these were."""
        sizes = [path.stat().st_size for path in self.disk.rglob("*") if path.is_file()]
        shutil.rmtree(self.disk)
        return len(sizes), sum(sizes)

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def has_ended(self) -> bool:
        return not self._running().alive()

    def drain(self) -> int:
        """Its exit code, once it was asked to stop, has committed and closed."""
        self.ask_to_stop()
        return self.end()

    def end(self) -> int:
        """Wait until it has ended; its exit code."""
        status = self._running().wait()
        self.kill()
        return status

    def kill(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restores(self) -> list[dict[str, Any]]:
        """The restores of its present life that had something to fold: partition, records, seconds, rate."""
        return [line for line in self.said("restored") if line["records"]]

    def said(self, *events: str) -> list[dict[str, Any]]:
        """The lines of its log, in its present life, that tell of one of these events."""
        with self._log.open("rb") as log:
            log.seek(self._life_begins_at)
            lines = [json.loads(line) for line in log if line.startswith(b"{") and line.endswith(b"\n")]
        return [line for line in lines if line.get("event") in events]

    def log_tail(self) -> list[str]:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return text.splitlines()[-LOG_TAIL:]

    def _running(self) -> SupervisedProcess:
        if self._process is None:
            raise PipelineError(f"worker {self.id} does not run")
        return self._process


def _environment(settings: Settings) -> Mapping[str, str]:
    """The settings as a worker's environment; whatever else this process was told to be is not handed on."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("STATELOG_")}
    told = settings.model_dump(mode="json", exclude_none=True, exclude={"data_dir"})
    return ours | {f"STATELOG_{name.upper()}": str(value) for name, value in told.items()}
