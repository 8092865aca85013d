"""`make simulate`: many seeds on two processes, and one of them again, step by step."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import traceback
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.counters import never
from tests.simulation.schedule import Outcome, simulate

PROCESSES = 2
SEEDS_A_TASK = 20
SEEDS_A_LINE = 500
"""Where there is no terminal to draw a bar on."""

console = Console(stderr=True)


class Failed(NamedTuple):
    seed: int
    why: str


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _try(seed: int) -> Outcome | Failed:
    try:
        return simulate(seed)
    except Exception as error:
        return Failed(seed, "".join(traceback.format_exception(error, limit=-3)))


def _many(start: int, seeds: int, figures: Path | None) -> int:
    counts: Counter[str] = Counter()
    failed: list[Failed] = []
    done = on_disk = 0
    began = time.monotonic()
    columns = (
        TextColumn("seeds"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with get_context("fork").Pool(PROCESSES, _quiet) as pool, Progress(*columns, console=console) as progress:
        task = progress.add_task("seeds", total=seeds, failed="")
        for result in pool.imap_unordered(_try, range(start, start + seeds), SEEDS_A_TASK):
            done += 1
            if isinstance(result, Failed):
                failed.append(result)
                progress.console.print(f"seed {result.seed}: python -m tests.simulation --seed {result.seed}")
                progress.console.print(result.why, markup=False, highlight=False)
            else:
                counts += result.counts
                on_disk += result.rocks
            progress.update(task, completed=done, failed=f"{len(failed)} failed" if failed else "")
            if not console.is_terminal and done % SEEDS_A_LINE == 0:
                console.print(f"{done} of {seeds} seeds, {len(failed)} failed")
    missing = never(counts, seeds)
    summary = {
        "start": start, "seeds": seeds, "failed": sorted(each.seed for each in failed), "on_rocksdb": on_disk,
        "seconds": round(time.monotonic() - began, 1), "never": missing, "counts": dict(counts.most_common()),
    }  # fmt: skip
    print(json.dumps(summary, indent=2))
    if figures is not None:
        figures.write_text(json.dumps(summary, indent=2) + "\n")
    for name in missing:
        console.print(f"never in {seeds} seeds: {name}")
    return 1 if failed or missing else 0


def _one(seed: int) -> int:
    story: list[str] = []
    try:
        outcome = simulate(seed, story=story)
    except Exception:
        print("\n".join(story))
        traceback.print_exc()
        return 1
    print("\n".join(story))
    print(f"seed {seed}: trace {outcome.trace}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--start", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--figures", type=Path, help="a file for what was counted, as JSON")
    given = parser.parse_args()
    _quiet()
    return _one(given.seed) if given.seed is not None else _many(given.start, given.seeds, given.figures)


if __name__ == "__main__":
    sys.exit(main())
