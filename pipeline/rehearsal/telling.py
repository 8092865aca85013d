"""Who listens to the story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pipeline.rehearsal.checks import Check

Row = Mapping[str, Any]


class Telling(Protocol):
    """Hears of everything once, in order, from one thread. Columns of numbers are theirs to align."""

    def step(self, text: str, **facts: Any) -> None:
        """The next step of the story begins. `facts` are for programs."""
        ...

    def detail(self, text: str, **facts: Any) -> None:
        """Something that this step brought."""
        ...

    def table(self, name: str, rows: Sequence[Row]) -> None:
        """Rows with the same fields, which are shown as columns in their order."""
        ...

    def bar(self, name: str, done: float, total: float, text: str) -> None:
        """How far something is; `text` says it in figures. A bar of a new name joins the others."""
        ...

    def restored(self, partition: int, records: int, seconds: float) -> None:
        """A restore is done: what its bar showed, to stay."""
        ...

    def drop_bars(self) -> None:
        """What was under way is done: the bars go."""
        ...

    def checks(self, checks: Sequence[Check]) -> None:
        """The proof."""
        ...

    def log_tail(self, name: str, lines: Sequence[str]) -> None:
        """The end of a worker's log, after a failure."""
        ...
