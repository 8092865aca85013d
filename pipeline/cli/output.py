"""What a command prints: tables and bars for people, JSON lines with `--json`.

The answer goes to stdout; progress and errors go to stderr, so that a pipe gets the answer and nothing else.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OFF_TERMINAL = 160
_PROGRESS_EVERY_S = 5.0


class Output:
    """One command's output."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    def record(self, data: Mapping[str, Any]) -> None:
        """One answer: a JSON line, or its fields below each other."""
        if self.as_json:
            self._json(data)
            return
        table = _table(header=False)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in data.items():
            table.add_row(name, _plain(value))
        _console(sys.stdout).print(table)

    def table(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Many answers: a JSON line each, as they come, or a table of these columns."""
        if self.as_json:
            for row in rows:
                self._json(row)
            return
        table = _table(header=True)
        for name in columns:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(_plain(row.get(name)) for name in columns))
        _console(sys.stdout).print(table)

    def say(self, text: str) -> None:
        """A line for people; nothing with `--json`."""
        if not self.as_json:
            _console(sys.stdout).print(text, highlight=False, markup=False, soft_wrap=True)

    def failure(self, error: PipelineError) -> None:
        """One line on stderr, and the hint below it."""
        console = _console(sys.stderr)
        console.print("[bold red]error:[/]", end=" ", highlight=False)
        console.print(_one_line(str(error)), highlight=False, markup=False, soft_wrap=True)
        if error.hint:
            console.print("[dim]hint:[/] ", end=" ", highlight=False)
            console.print(_one_line(error.hint), highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def progress(self, doing: str, total: int | None = None) -> Iterator[Progress]:
        """A bar with its rate on a terminal, a line every few seconds elsewhere; total None has no end."""
        shown: Progress
        if sys.stderr.isatty():
            with _Bar(doing, total) as shown:
                yield shown
        elif self.as_json:
            yield Progress()
        else:
            yield _Lines(doing, total)

    def _json(self, data: Mapping[str, Any]) -> None:
        print(json.dumps(data, ensure_ascii=False, default=str), flush=True)


class Progress:
    """How far something is; this one shows nothing."""

    def advance(self, count: int) -> None:
        """So many more are done."""


class _Lines(Progress):
    def __init__(self, doing: str, total: int | None) -> None:
        self._doing = doing
        self._of = "" if total is None else f" of {total:,}"
        self._done = 0
        self._started = self._told = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told >= _PROGRESS_EVERY_S:
            self._told = now
            rate = self._done / (now - self._started)
            print(f"{self._doing}: {self._done:,}{self._of}, {rate:,.0f}/s", file=sys.stderr, flush=True)


class _Bar(Progress):
    def __init__(self, doing: str, total: int | None) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}/s"),
            TimeRemainingColumn(),
            console=_console(sys.stderr),
        )
        self._task = self._rich.add_task(doing, total=total, rate="?")
        self._done = 0
        self._started = time.monotonic()

    def __enter__(self) -> _Bar:
        self._rich.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._rich.stop()

    def advance(self, count: int) -> None:
        self._done += count
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        self._rich.update(self._task, advance=count, rate=f"{rate:,.0f}")


def _console(stream: TextIO) -> Console:
    """Looked up anew each time, as the streams may be replaced."""
    from rich.console import Console

    # No emoji: a `:name:` in what is said is text, and their table, loaded at the first of them, is a file that a
    # process without descriptors could not open to say so.
    return Console(file=stream, width=None if stream.isatty() else _WIDTH_OFF_TERMINAL, emoji=False)


def _table(*, header: bool) -> Any:
    from rich.table import Table

    return Table(show_header=header, box=None, pad_edge=False, header_style="bold")


def _plain(value: Any) -> Any:
    """A value as text that cannot style or move anything on the terminal."""
    from rich.text import Text

    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**12 else str(value)
    if isinstance(value, str):
        return Text(_one_line(value))
    return Text(_one_line(json.dumps(value, ensure_ascii=False, default=str)))


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
