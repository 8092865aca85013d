"""What a worker does of a verification: take checkpoints, and ask a process of its own to prove them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from pipeline.errors import PipelineError, StateLocked, StateUnusable
from pipeline.runtime.view import WorkerView
from pipeline.settings import Settings
from pipeline.state.api import Position, StoreIdentity
from pipeline.state.lock import DirectoryLock
from pipeline.verify.wire import Request, Setup

Line = dict[str, Any]
TakeCheckpoint = Callable[[int, Path], tuple[StoreIdentity, Position]]
"""`WorkerView.checkpoint`."""

_SCRATCH_PREFIX = ".verify-"
"""No application's name begins with a dot, so it is nobody's store."""
_LOCK_FILE = "lock"
_COMPLAINT_BYTES = 2_000


def verifier(settings: Settings, view: WorkerView) -> Callable[[list[int], bool], Iterator[Line]]:
    """What `/v1/verify` calls: from partitions held here, and whether to refold the source, to lines."""

    def verify(partitions: list[int], from_source: bool) -> Iterator[Line]:
        return verify_partitions(settings, view.stage.name, view.checkpoint, partitions, from_source=from_source)

    return verify


class NoteVerdict(Protocol):
    def __call__(self, partition: int, *, differs: bool) -> None: ...


def noting(
    note: NoteVerdict, verify: Callable[[list[int], bool], Iterator[Line]]
) -> Callable[[list[int], bool], Iterator[Line]]:
    """The same, and every verdict is noted. What is not provable differs in nothing that is known."""

    def noted(partitions: list[int], from_source: bool) -> Iterator[Line]:
        for line in verify(partitions, from_source):
            if "digest" in line:
                note(line["partition"], differs=line["provable"] and not line["equal"])
            yield line

    return noted


def verify_partitions(
    settings: Settings, stage: str, take_checkpoint: TakeCheckpoint, partitions: Iterable[int], *, from_source: bool
) -> Iterator[Line]:
    """Prove partitions, one after the other: lines of `Progress`, and of `Verdict` when one is done.

    A partition that has moved away since gives a line `{"partition", "skipped"}`. Raises PipelineError when the
    verifying process fails. When the consumer stops, that process is killed and the scratch directory is removed.
    """
    with scratch_directory(settings.data_dir) as scratch, _child() as child:
        child.ask(Setup(settings.model_dump(mode="json"), stage))
        for partition in partitions:
            work = scratch / str(partition)
            checkpoint = work / "checkpoint"
            work.mkdir(mode=0o700)
            try:
                identity, position = take_checkpoint(partition, checkpoint)
            except (KeyError, StateUnusable) as reason:
                yield {"partition": partition, "skipped": f"no longer active here: {reason}"}
                continue
            child.ask(Request(str(checkpoint), str(work), identity, position, from_source))
            yield from child.answers()
            shutil.rmtree(work)


class _Child:
    """The verifying process. It also ends when this one does, with its stdin."""

    def __init__(self, process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
        self._process = process
        self._complaints = complaints

    def ask(self, message: msgspec.Struct) -> None:
        assert self._process.stdin is not None  # noqa: S101 - made with pipes
        try:
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def answers(self) -> Iterator[Line]:
        """Up to the verdict."""
        assert self._process.stdout is not None  # noqa: S101 - made with pipes
        for text in self._process.stdout:
            line = msgspec.json.decode(text, type=Line)
            if "error" in line:
                raise PipelineError(str(line["error"]), hint=str(line["hint"]))
            yield line
            if "digest" in line:
                return
        raise self._died()

    def _died(self) -> PipelineError:
        code = self._process.wait()
        self._complaints.seek(0)
        complaint = self._complaints.read()[-_COMPLAINT_BYTES:].decode(errors="replace").strip()
        return PipelineError("the verifying process died", hint="try again", exit_code=code, complaint=repr(complaint))


@contextmanager
def _child() -> Iterator[_Child]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            [sys.executable, "-m", "pipeline.verify"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment,
        ) as process,
    ):
        try:
            yield _Child(process, complaints)
        finally:
            process.kill()


@contextmanager
def scratch_directory(data_dir: Path) -> Iterator[Path]:
    """On the stores' disk, so that checkpoints are hard links. Those that dead processes left are removed first."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in data_dir.glob(_SCRATCH_PREFIX + "*"):
        try:
            lock = DirectoryLock(left / _LOCK_FILE)
        except (StateLocked, OSError):
            continue
        shutil.rmtree(left, ignore_errors=True)
        lock.release()
    scratch, lock = _claimed(data_dir)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        lock.release()


def _claimed(data_dir: Path) -> tuple[Path, DirectoryLock]:
    """A new directory, locked. One that another worker removed as a dead one's, before it was locked, is made anew."""
    while True:
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=data_dir))
        try:
            return scratch, DirectoryLock(scratch / _LOCK_FILE)
        except (StateLocked, FileNotFoundError):
            shutil.rmtree(scratch, ignore_errors=True)
