"""Pages that show figures: each set of them between two marks, `<!-- NAME: begin … -->` and `<!-- NAME: end -->`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.process import ROOT

README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"
IMAGES: Final = DOCS / "images"


def newest(directory: Path, pattern: str, command: str) -> Path:
    """The latest file of figures, by its name. Raises SystemExit when there is none."""
    found = sorted(directory.glob(pattern))
    if not found:
        raise SystemExit(f"no results yet: `{command}` makes some")
    return found[-1]


def put(page: Path, name: str, text: str) -> None:
    """In place of what stood between the marks of that name. Raises SystemExit for a page without them."""
    begin, end = f"<!-- {re.escape(name)}: begin.*?-->\n", f"<!-- {re.escape(name)}: end -->"
    marks = re.compile(f"({begin}).*?({end})", re.DOTALL)
    changed, found = marks.subn(lambda around: f"{around[1]}\n{text.strip()}\n\n{around[2]}", page.read_text())
    if not found:
        raise SystemExit(f"{page} has no place for figures: <!-- {name}: begin --> … <!-- {name}: end -->")
    page.write_text(changed)


def markdown_table(lines: Iterable[Sequence[str]]) -> str:
    """Of the cells of each line; the head and the rule below it are lines too."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
