"""A peer's process: started, listened to, measured from outside, ended."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple, Self

import psutil

from benchmarks.peers.api import Command
from tests.support.reaper import ends_with_us

ROOT = Path(__file__).parents[1]
_LOG_TAIL = 30


class PeerFailed(Exception):
    """A peer ended, or stood still, before it was done; the text has the end of its log."""


class Moment(NamedTuple):
    """What was used until then."""

    at: float
    cpu_s: float
    """Of the process and its children."""
    broker_cpu_s: float | None


class Restored(NamedTuple):
    """What a peer that lost its disk has read back of one partition, or of one of its tables."""

    records: int
    began: float
    ended: float
    """Seconds of the machine's monotonic clock, which all processes share."""


class PeerProcess:
    """Use it in a `with`. Where nothing was heard of for so long, the peer counts as stuck."""

    def __init__(self, command: Command, log: Path, broker_pid: int | None) -> None:
        self._log = log
        self._broker = psutil.Process(broker_pid) if broker_pid else None
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                list(command.arguments),
                cwd=ROOT,
                env={**os.environ, **command.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        ends_with_us(self._process)
        self._measured = psutil.Process(self._process.pid)
        self._said: queue.SimpleQueue[tuple[str, Moment]] = queue.SimpleQueue()
        self.restored: list[Restored] = []
        """In the order in which it was said."""
        self.counted: list[list[int]] = []
        """The answers to `ask("count")`."""
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _listen(self) -> None:
        output: IO[str] | None = self._process.stdout
        assert output is not None
        try:
            for line in output:
                word = line.strip()
                if word in {"ready", "began", "done"}:
                    self._said.put((word, self.moment()))
                elif word.startswith("restored "):
                    records, began, ended = word.split()[1:]
                    self.restored.append(Restored(int(records), float(began), float(ended)))
                elif word.startswith("counted "):
                    self.counted.append([int(number) for number in word.split()[1:]])
        except (ValueError, psutil.NoSuchProcess):
            pass  # it was ended while it spoke

    def moment(self) -> Moment:
        return Moment(time.perf_counter(), _cpu(self._measured), _cpu(self._broker) if self._broker else None)

    def peak_rss_mb(self) -> float:
        """The most memory that it and its children ever held, each by itself."""
        processes = [self._process.pid, *(child.pid for child in self._measured.children(recursive=True))]
        return sum(_peak_rss_mb(pid) for pid in processes)

    def says(self, word: str, patience_s: float) -> Moment:
        """Wait until it says this."""
        found: list[Moment] = []

        def said() -> bool:
            try:
                heard, moment = self._said.get(timeout=0.1)
            except queue.Empty:
                return False
            assert heard == word, f"{heard} instead of {word}"
            found.append(moment)
            return True

        self.until(said, f"it says {word!r}", patience_s)
        return found[0]

    def until(self, true: Callable[[], bool], what: str, patience_s: float) -> None:
        """Raises PeerFailed when the process ends first, or time is up."""
        deadline = time.monotonic() + patience_s
        while not true():
            if self._process.poll() is not None:
                raise self._failed(f"ended by {self._process.returncode} before {what}")
            if time.monotonic() > deadline:
                raise self._failed(f"waited {patience_s:.0f} s until {what}")

    def next(self) -> None:
        """Let it go on to its next pass."""
        self.ask("")

    def ask(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def pause(self) -> None:
        """Until `go_on` it does nothing, and uses nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self, patience_s: float = 60.0) -> None:
        """An orderly end, so that all it has to say is in the log."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise self._failed("does not end at SIGTERM") from None

    def kill(self) -> None:
        """As a power cut: nothing that it would have liked to do at its end is done."""
        self._process.kill()
        self._process.wait()

    def _failed(self, what: str) -> PeerFailed:
        tail = self._log.read_text(errors="replace").splitlines()[-_LOG_TAIL:]
        return PeerFailed("\n".join([what, *tail]))


def _peak_rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise PeerFailed("the process has no memory")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    total = times.user + times.system
    for child in process.children(recursive=True):
        try:
            used = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
    return float(total)
