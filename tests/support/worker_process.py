"""Worker processes as tests treat them: started, asked, stopped, and killed without a word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pipeline.runtime.crash import CrashPoint, CrashTrace
from tests.support.reaper import ends_with_us
from tests.support.waiting import PATIENCE_S, eventually

ROOT = Path(__file__).parents[2]
STATELOG = (sys.executable, "-c", "from pipeline.cli.main import run; run()")
WRONG_CLOCK = "import time; now, now_ns = time.time, time.time_ns; time.time = lambda: now() + {0} / 1000; " \
    "time.time_ns = lambda: now_ns() + {0} * 1_000_000; "  # fmt: skip
LOG_TAIL = 40
"""Lines of a worker's log that a failed test shows."""

OPEN_WORK = frozenset(
    {
        CrashPoint.FOLDED,
        CrashPoint.CHANGELOG_SENT,
        CrashPoint.OFFSETS_SENT,
        CrashPoint.COMMITTED,
        CrashPoint.STORE_APPLIED,
    }
)
"""Where a crash finds something begun and not finished: a batch that is not committed, or not in the store."""


class WorkerProcess:
    """One run of `statelog worker`, in a process group of its own, with a log and a crash trace."""

    def __init__(
        self, stage: str, options: Mapping[str, str], environment: Mapping[str, str], log: Path, ahead_ms: int = 0
    ) -> None:
        self.stage = stage
        self.log = log
        self.trace = log.with_suffix(".trace")
        flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        python, flag, program = STATELOG
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [python, flag, WRONG_CLOCK.format(ahead_ms) + program, "worker", stage, *flags],
                cwd=ROOT,
                env={**os.environ, **environment, "STATELOG_CRASH_TRACE": str(self.trace)},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        ends_with_us(self._process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def point(self) -> CrashPoint:
        """Where it is, or was last."""
        # The worker makes the file before it fills it.
        written = self.trace.exists() and self.trace.stat().st_size
        return CrashTrace.last(self.trace) if written else CrashPoint.IDLE

    def kill_at_work(self, at: Collection[CrashPoint] = OPEN_WORK) -> CrashPoint:
        """SIGKILL at one of these points, with work begun and not finished; where it hit.

        Seen there it is stopped and looked at again, for it would not stay where it was seen to be.
        """

        def stopped_at_work() -> bool:
            assert self.alive, f"the worker ended by itself:\n{self.text()}"
            if self.point in at:
                self._freeze()
                if self.point in at:
                    return True
                self.signal(signal.SIGCONT)
            return False

        eventually(stopped_at_work, f"the {self.stage} worker has open work", pause_s=0.001)
        return self.kill()

    def _freeze(self) -> None:
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def kill(self) -> CrashPoint:
        """SIGKILL; where it hit."""
        assert self.alive, f"the worker ended by itself:\n{self.text()}"
        self._process.kill()
        self._process.wait()
        return self.point

    def freeze(self, at: Collection[CrashPoint] = OPEN_WORK) -> CrashPoint:
        """SIGSTOP at one of these points, until `thaw`; which of them it hit."""

        def hit() -> bool:
            assert self.alive, self.text()
            if self.point not in at:
                return False
            self.signal(signal.SIGSTOP)
            eventually(self._stopped, "it stands still", pause_s=0.001)
            if self.point in at:
                return True
            self.thaw()
            return False

        eventually(hit, f"{self.log.name} stands still", pause_s=0.001)
        return self.point

    def _stopped(self) -> bool:
        """Whether no thread of it runs any more."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)

    def cpu_s(self) -> float:
        """CPU time it has taken so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM; it must drain and say so by its exit code."""
        self.ask_to_stop()
        assert self.wait() == 0, self.text()

    def ask_to_stop(self) -> None:
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Its exit code; minus a signal's number for a process that one ended."""
        return self._process.wait(within_s)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log under this name, in order."""
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    def close(self) -> None:
        """End it, however it is; what it wrote last shows in the report of a failed test."""
        if self.alive:
            self._process.kill()
            self._process.wait()
        print(f"--- {self.log.name}, exit code {self._process.returncode}")
        print("\n".join(self.text().splitlines()[-LOG_TAIL:]))
