"""What a person sees while something large is fetched: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], None]
"""Called with each number of bytes that arrived, from several threads."""

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Called with what is fetched and its size in bytes."""

_MEGABYTE = 1_000_000
_LINES = 4


@contextmanager
def show_progress(what: str, size: int) -> Iterator[Advance]:
    """The `Progress` for people, on standard error."""
    with (_bar if sys.stderr.isatty() else _lines)(what, size) as advance:
        yield advance


@contextmanager
def _bar(what: str, size: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bars(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(f"fetching {what}", total=size)
        yield lambda count: bars.advance(task, count)


@contextmanager
def _lines(what: str, size: int) -> Iterator[Advance]:
    lock = threading.Lock()
    done, said = 0, 0

    def advance(count: int) -> None:
        nonlocal done, said
        with lock:
            done += count
            reached = _LINES * done // size
            if reached > said:
                said = reached
                _say(f"fetching {what}: {done / _MEGABYTE:.0f} of {size / _MEGABYTE:.0f} MB")

    _say(f"fetching {what}: {size / _MEGABYTE:.0f} MB, once")
    yield advance


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
