"""What the demo and the drills tell: on a terminal, as plain lines elsewhere, or as JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pipeline.rehearsal.checks import Check
    from pipeline.rehearsal.telling import Row

INDENT = 13
PLAIN_WIDTH = 120
WIDE = 100
BAR_WIDTH = 24
LINE_EVERY_S = 10.0
"""Off a terminal, how long it may be silent while something is under way."""


class Story:
    """`pipeline.rehearsal.telling.Telling` for people, on stdout."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._console = Console(highlight=False, width=None if self._terminal else PLAIN_WIDTH)
        self._began = self._told = time.monotonic()
        self._steps = 0
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._texts: dict[str, str] = {}

    def step(self, text: str, **_facts: Any) -> None:
        self._steps += 1
        elapsed = time.monotonic() - self._began
        start = Text.assemble((f"{elapsed:6.1f} s", "dim"), f"  {self._steps}  ")
        if self._terminal:
            grid = Table.grid()
            grid.add_row(start, Text(text, "bold"))
            self._console.print(grid)
        else:
            self._line(start + text)

    def detail(self, text: str, **_facts: Any) -> None:
        self._line(Text(text), indent=INDENT)

    def table(self, name: str, rows: Sequence[Row]) -> None:
        if not rows:
            return
        table = Table(box=None, pad_edge=False, header_style="dim", show_header=name != "figures")
        for column in rows[0]:
            numbers = isinstance(rows[0][column], int | float)
            table.add_column(column, justify="right" if numbers else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(_figure(value)) for value in row.values()))
        self._indented(table)

    def bar(self, name: str, done: float, total: float, text: str) -> None:
        self._texts[name] = text
        if not self._terminal:
            if time.monotonic() - self._told >= LINE_EVERY_S:
                self.detail("… " + ", ".join(f"{each} {said.strip()}" for each, said in self._texts.items()))
            return
        if self._bars is None:
            self._bars = Progress(
                TextColumn(" " * (INDENT - 1) + "{task.description:<12}"),
                BarColumn(BAR_WIDTH),
                TextColumn("{task.fields[text]}"),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, text=text)
        self._bars.update(self._tasks[name], completed=min(done, total), total=total, text=text)

    def restored(self, partition: int, records: int, seconds: float) -> None:
        full = ("━" * BAR_WIDTH + " ", "green") if self._terminal else ""
        rate = records / max(seconds, 1e-3)
        text = f"{records:>9,} records in {seconds:.2f} s, {rate:,.0f}/s"
        self._line(Text.assemble(f"{f'restored {partition}':<13}", full, text), indent=INDENT)

    def drop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._tasks, self._texts = None, {}, {}

    def checks(self, checks: Sequence[Check]) -> None:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("")
        table.add_column("check", no_wrap=True)
        for column in ("expected", "found"):
            table.add_column(column, justify="right", no_wrap=True)
        for check in checks:
            mark = Text("ok", "green") if check.passed else Text("FAILED", "bold red")
            table.add_row(mark, Text(check.what), Text(_figure(check.expected)), Text(_figure(check.actual)))
        self._indented(table)
        for check in checks:
            if check.why:
                self._line(Text(f"{check.what.strip()}: {check.why}", "red"), indent=INDENT)

    def log_tail(self, name: str, lines: Sequence[str]) -> None:
        self.drop_bars()
        self._line(Text(f"the end of the log of {name}:", "bold"))
        for line in lines:
            self._line(Text("  " + line, "dim"))

    def end(self, text: str) -> None:
        """The last line, when all went well."""
        self._line(Text(text, "bold green"))

    def _line(self, text: Text, indent: int = 0) -> None:
        """On a terminal long ones go on below themselves; elsewhere a line is a line."""
        self._told = time.monotonic()
        if self._terminal:
            self._console.print(Padding(text, (0, 0, 0, indent), expand=False))
        else:
            self._console.print(Text(" " * indent) + text, soft_wrap=True)

    def _indented(self, table: Table) -> None:
        self._told = time.monotonic()
        indented = Padding(table, (0, 0, 0, INDENT + 2 if self._console.width >= WIDE else 2), expand=False)
        if self._terminal:
            self._console.print(indented)
            return
        with self._console.capture() as captured:
            self._console.print(indented)
        for line in captured.get().splitlines():
            self._line(Text(line.rstrip()))


class Lines:
    """`pipeline.rehearsal.telling.Telling` for programs: JSON lines on stdout."""

    def __init__(self) -> None:
        self._steps = 0

    def step(self, text: str, **facts: Any) -> None:
        self._steps += 1
        _write({"step": self._steps, "text": text, **facts})

    def detail(self, text: str, **facts: Any) -> None:
        _write({"detail": text, **facts})

    def table(self, name: str, rows: Sequence[Row]) -> None:
        for row in rows:
            _write({"table": name, **row})

    def bar(self, name: str, done: float, total: float, text: str) -> None:
        """Programs do not watch bars."""

    def restored(self, partition: int, records: int, seconds: float) -> None:
        _write({"restored": partition, "records": records, "seconds": seconds})

    def drop_bars(self) -> None:
        """There are none."""

    def checks(self, checks: Sequence[Check]) -> None:
        for check in checks:
            _write({"check": check.what.strip(), **{k: v for k, v in check._asdict().items() if k != "what"}})

    def log_tail(self, name: str, lines: Sequence[str]) -> None:
        _write({"log": name, "lines": lines})

    def end(self, text: str) -> None:
        _write({"verdict": text})


def _write(data: dict[str, Any]) -> None:
    print(json.dumps(data, ensure_ascii=False), flush=True)


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
