"""Copies of the source, with and without a bug, and what a test says to each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import msgspec

from tests.mutants.catalogue import PATCHES, SHIPPED
from tests.mutants.witness import End, Testimony

ROOT: Final = Path(__file__).parents[2]
LIMIT_S: Final = 60.0
"""How long a test may take to notice a bug, with the start of its process."""
UNHURT_LIMIT_S: Final = 300.0
"""Without a bug it may take longer: nothing ends it before it has tried everything."""

_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "statelog-data", "build", "dist")
_SLIPS = frozenset({"ImportError", "NameError", "SyntaxError", "AttributeError", "TypeError"})
"""What code raises that cannot run: such a patch plants no bug, or one that no longer fits the source."""


class Verdict(StrEnum):
    """What became of a bug. Only the first is as it has to be."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    NOT_APPLIED = "patch does not apply"
    NOT_GREEN = "test not green without it"
    BROKEN = "no failure of the test"
    HANGS = "test hangs"


class Finding(NamedTuple):
    verdict: Verdict
    seconds: float
    """Of the run with the bug in it."""
    why: str
    """How the test failed, or what is amiss."""


class _Ending(StrEnum):
    GREEN = "green"
    RED = "red"
    BROKEN = "broken"
    HANGS = "hangs"


class _Run(NamedTuple):
    ending: _Ending
    seconds: float
    why: str


class Workshop:
    """Tries bugs, each on a copy of its own. `try_bug` may be called from several threads."""

    def __init__(self, directory: Path, kafka: str | None) -> None:
        """For `workshop` alone."""
        self._directory = directory
        self._kafka = kafka
        self._clean = directory / "clean"
        self._numbers = count()
        self._lock = Lock()
        self._green: dict[str, tuple[Lock, list[_Run]]] = {}
        """By test: its run without a bug, once there was one."""
        shutil.copytree(ROOT, self._clean, ignore=_LEFT_OUT)
        # Checked by their hash: a patch may change a file within the second and by no byte in length, and the copies of
        # this copy have the same bytecode.
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", *SHIPPED, "tests"],
            cwd=self._clean, check=True,
        )  # fmt: skip

    def try_bug(
        self, name: str, test: str, *, hangs: bool = False, patches: Path = PATCHES, limit_s: float = LIMIT_S
    ) -> Finding:
        """Plant it, and see whether the test says so; by standing still, if it `hangs`."""
        copy = self._fresh(name)
        shutil.copytree(self._clean, copy)
        try:
            refused = plant(patches / f"{name}.patch", copy)
            if refused:
                return Finding(Verdict.NOT_APPLIED, 0.0, refused)
            before = self._run_clean(test)
            if before.ending is not _Ending.GREEN:
                return Finding(Verdict.NOT_GREEN, before.seconds, before.why)
            after = self._run(copy, test, limit_s)
            return Finding(_judge(after.ending, hangs=hangs), after.seconds, after.why)
        finally:
            shutil.rmtree(copy)

    def _fresh(self, name: str) -> Path:
        with self._lock:
            return self._directory / f"{name}-{next(self._numbers)}"

    def _run_clean(self, test: str) -> _Run:
        with self._lock:
            lock, found = self._green.setdefault(test, (Lock(), []))
        with lock:
            if not found:
                found.append(self._run(self._clean, test, UNHURT_LIMIT_S))
            return found[0]

    def _run(self, source: Path, test: str, limit_s: float) -> _Run:
        """Run a test with the code of this copy, in a process group of its own that ends with it."""
        own = self._fresh("run")
        own.mkdir()
        testimony = own / "testimony"
        command = [
            sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.mutants.witness", f"--testimony={testimony}",
            "-p", "no:cacheprovider", f"--basetemp={own / 'tmp'}", test,
        ]  # fmt: skip
        environment = _environment(source)
        if self._kafka is not None and wants_kafka(test):
            environment["STATELOG_BOOTSTRAP_SERVERS"] = self._kafka
        began = time.monotonic()
        output = own / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=source, env=environment, start_new_session=True, stdout=file, stderr=file
            )
            try:
                process.wait(limit_s)
                hangs = False
            except subprocess.TimeoutExpired:
                hangs = True
            finally:
                _end_group(process)
        seconds = time.monotonic() - began
        if hangs:
            return _Run(_Ending.HANGS, seconds, f"no end after {limit_s:g} s")
        if not testimony.exists():
            return _Run(_Ending.BROKEN, seconds, output.read_text(errors="replace")[-2_000:].strip())
        ending, why = _read(msgspec.json.decode(testimony.read_bytes(), type=Testimony), source)
        shutil.rmtree(own, ignore_errors=True)
        return _Run(ending, seconds, why)


@contextmanager
def workshop(kafka: str | None = None) -> Iterator[Workshop]:
    """A workshop in a temporary directory, which goes with it. `kafka`: bootstrap servers for tests that want one;
    without, each run of such a test starts a broker.
    """
    with tempfile.TemporaryDirectory(prefix="statelog-mutants-", ignore_cleanup_errors=True) as directory:
        yield Workshop(Path(directory).resolve(), kafka)


def plant(patch: Path, source: Path, *options: str) -> str:
    """Apply a patch to a copy of the source; returns why that is not possible, or nothing. `--check`: only that."""
    # Inside a repository git would take the paths as that one's, and pass over what is not in it.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(source.parent)}
    done = subprocess.run(
        ["git", "apply", *options, patch], cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    return (done.stderr.strip() or "git apply failed") if done.returncode else ""


def wants_kafka(test: str) -> bool:
    """Whether it is a contract test in its form for the real Kafka."""
    return test.endswith("[kafka]")


def _environment(source: Path) -> dict[str, str]:
    """The copy's code goes before that which is installed, for this process and for all that it starts."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    return {**ours, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _judge(ending: _Ending, *, hangs: bool) -> Verdict:
    if hangs and ending is _Ending.HANGS:
        return Verdict.CAUGHT
    return {
        _Ending.GREEN: Verdict.SURVIVED,
        _Ending.RED: Verdict.BROKEN if hangs else Verdict.CAUGHT,
        _Ending.BROKEN: Verdict.BROKEN,
        _Ending.HANGS: Verdict.HANGS,
    }[ending]


def _read(testimony: Testimony, source: Path) -> tuple[_Ending, str]:
    """Green: every test passed. Red: a test itself failed, by an assertion or an error of the product's."""
    ends = testimony.ends
    calls = [end for end in ends if end.when == "call"]
    strangers = [path for path in testimony.imported if not Path(path).is_relative_to(source)]
    if strangers or not testimony.imported:
        return _Ending.BROKEN, f"not the copy was tested, but {strangers[0] if strangers else 'nothing'}"
    elsewhere = _first(ends, lambda end: end.outcome != "passed" and end.when != "call")
    failed = _first(calls, lambda end: end.outcome == "failed")
    if failed is not None and not _SLIPS.intersection(failed.errors):
        return _Ending.RED, f"{failed.test.rpartition('::')[2]}: {failed.why}"
    if failed is None and elsewhere is None and calls and all(end.outcome == "passed" for end in calls):
        return _Ending.GREEN, ""
    odd = failed or elsewhere or (calls[0] if calls else None)
    return _Ending.BROKEN, f"{odd.when} of {odd.test}: {odd.outcome} {odd.why}" if odd else "no such test"


def _first(ends: list[End], which: Callable[[End], bool]) -> End | None:
    return next((end for end in ends if which(end)), None)
