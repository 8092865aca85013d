"""Restores as bars on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pipeline.runtime.restore import Progress as RestoreProgress


class RestoreBars:
    """A `RestoreListener` that draws a bar a partition, on stderr, for as long as anything is restoring."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._ids: dict[int, TaskID] = {}

    def started(self, partition: int, progress: RestoreProgress) -> None:
        if self._bars is None:
            self._bars = Progress(
                TextColumn("restoring partition {task.fields[partition]}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[rate]:,.0f} records/s"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bars.start()
        total = progress.target - progress.start
        self._ids[partition] = self._bars.add_task("", total=total, partition=partition, rate=0.0)

    def moved(self, partition: int, progress: RestoreProgress) -> None:
        if self._bars is not None and partition in self._ids:
            self._bars.update(self._ids[partition], completed=progress.done, rate=progress.rate)

    def finished(self, partition: int, progress: RestoreProgress) -> None:
        self.moved(partition, progress)
        self._ids.pop(partition, None)
        if self._bars is not None and not self._ids:
            self._bars.stop()
            self._bars = None
