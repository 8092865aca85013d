"""The table of docs/queries.md, from figures of `benchmarks.queries`.

    python -m benchmarks.queries_table [FILE…]

Takes the newest file in `benchmarks/results`, or those that are named, and writes their tables between the page's
marks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Spread
from benchmarks.pages import DOCS, put
from benchmarks.suite import RESULTS

PAGE: Final = DOCS / "queries.md"
_NOBODY: Final = "nobody"
_LOADS: Final = {"idle": "idle", "half": "at half its rate", "full": "at all its rate"}


def table(report: Mapping[str, Any]) -> str:
    """What was measured, as Markdown."""
    runs = report["runs"]
    servers = list(dict.fromkeys(run["server"] for run in runs if run["server"] != _NOBODY))
    machine = report["machine"]
    compared = sum(run.get("compared", 0) for run in runs)
    lines = [
        f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}, "
        f"load {report['load_before']} before it. "
        f"{report['devices']:,} devices; {report['asked_per_s']:,.0f} questions a second were asked; the worker folded "
        f"{report['rate']:,} readings/s before any. Each answer was of as many readings as its position says, and "
        f"{compared:,} were compared with the oracle's row.",
        "",
        "| the worker is | answered by | answers/s | p50 ms | p99 ms | readings/s | loss of ingest, % | not answered |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for load, words in _LOADS.items():
        for server in servers:
            found = [run for run in runs if (run["what"], run["server"]) == (load, server)]
            cells = [_middle(found, figure, form) for figure, form in _FIGURES]
            errors = sum(run["errors"] for run in found)
            lines.append(f"| {words} | {server} | {' | '.join(cells)} | {_loss(runs, found)} | {errors} |")
    idle = {run["server"]: run["cpu_us"] for run in runs if run["what"] == "idle"}
    used = ", ".join(f"{server} {cpu_us:,} µs" for server, cpu_us in idle.items())
    return "\n".join([*lines, "", f"CPU a question while idle: {used}."])


_FIGURES: Final = (
    ("questions_per_s", "{:,.0f}"),
    ("p50_ms", "{:.2f}"),
    ("p99_ms", "{:.1f}"),
    ("records_per_s", "{:,.0f}"),
)


def _middle(runs: Sequence[Mapping[str, Any]], figure: str, form: str) -> str:
    """The median over the rounds."""
    values = [run[figure] for run in runs if figure in run]
    return form.format(Spread.of(values).median) if values else "-"


def _loss(runs: Sequence[Mapping[str, Any]], asked: Sequence[Mapping[str, Any]]) -> str:
    """Of each round by itself: the median and the spread."""
    alone = {run["round"]: run["records_per_s"] for run in runs if run["server"] == _NOBODY}
    losses = [100 - 100 * run["records_per_s"] / alone[run["round"]] for run in asked if "records_per_s" in run]
    if not losses:
        return "-"
    spread = Spread.of(losses)
    return f"{spread.median:.0f} ({spread.least:.0f} to {spread.most:.0f})"


def main(arguments: Sequence[str]) -> None:
    paths = [Path(each) for each in arguments] or [max(RESULTS.glob("queries-*.json"))]
    put(PAGE, "queries", "\n\n".join(table(json.loads(path.read_text())) for path in paths))


if __name__ == "__main__":
    main(sys.argv[1:])
