"""Verifications on their way: a bar a partition on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

TOLD_EVERY_S = 5.0


class VerifyBars:
    """Hears each line of a verification that tells of progress."""

    def moved(self, line: dict[str, Any]) -> None:
        """Of `pipeline.verify.wire.Progress`."""


class _Lines(VerifyBars):
    def __init__(self) -> None:
        self._told = time.monotonic()

    def moved(self, line: dict[str, Any]) -> None:
        if time.monotonic() - self._told >= TOLD_EVERY_S:
            self._told = time.monotonic()
            done, end, rate = line["done"], line["end"], line["rate"]
            print(f"partition {line['partition']}: {done:,} of {end:,}, {rate:,.0f}/s", file=sys.stderr, flush=True)


class _Bars(VerifyBars):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[int, TaskID] = {}

    def moved(self, line: dict[str, Any]) -> None:
        partition = line["partition"]
        if partition not in self._tasks:
            self._tasks[partition] = self._progress.add_task(f"partition {partition}", rate=0.0)
        self._progress.update(self._tasks[partition], completed=line["done"], total=line["end"], rate=line["rate"])


@contextmanager
def verify_bars(*, silent: bool) -> Iterator[VerifyBars]:
    """On stderr; nothing when `silent`."""
    if silent:
        yield VerifyBars()
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("proving {task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:,.0f} records/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bars(progress)
