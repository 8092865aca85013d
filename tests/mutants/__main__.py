"""`make mutants`: plant each bug of the catalogue in a copy of the source, and see that its test notices."""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.mutants.catalogue import Bug, read_catalogue
from tests.mutants.workshop import Finding, Verdict, wants_kafka, workshop
from tests.support.brokers import chosen

AT_ONCE: Final = 2
FIRST_LINE: Final = 160
"""Characters of why a test failed that fit beside it."""

console = Console()


class Trial(NamedTuple):
    bug: str
    test: str


def _line(trial: Trial, finding: Finding) -> str:
    good = finding.verdict is Verdict.CAUGHT
    said = finding.why.partition("\n")[0][:FIRST_LINE] if good else finding.why
    return (
        f"{trial.bug} → {escape(trial.test)}  {finding.seconds:.1f} s  "
        f"[{'green' if good else 'red'}]{finding.verdict}[/]\n    [dim]{escape(said)}[/]"
    )


def _try_all(bugs: dict[str, Bug]) -> dict[Trial, Finding]:
    trials = {Trial(name, test): bug for name, bug in bugs.items() for test in bug.tests}
    findings: dict[Trial, Finding] = {}
    columns = (TextColumn("bugs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    wanted = any(wants_kafka(trial.test) for trial in trials)
    with (
        chosen(console.print) if wanted else nullcontext() as kafka,
        workshop(kafka.bootstrap_servers if kafka is not None else None) as bench,
        ThreadPoolExecutor(AT_ONCE) as pool,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("bugs", total=len(trials))
        under_way = {pool.submit(bench.try_bug, *trial, hangs=bug.hangs): trial for trial, bug in trials.items()}
        try:
            for done in as_completed(under_way):
                trial = under_way[done]
                findings[trial] = finding = done.result()
                progress.console.print(_line(trial, finding), highlight=False, soft_wrap=True)
                progress.advance(task)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {trial: findings[trial] for trial in trials}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these bugs")
    parser.add_argument("--figures", type=Path, help="a file for what came of each bug, as JSON")
    given = parser.parse_args()
    catalogue = read_catalogue()
    unknown = [name for name in given.names if name not in catalogue]
    if unknown:
        parser.error(f"no such bug: {', '.join(unknown)}")
    bugs = {name: bug for name, bug in catalogue.items() if not given.names or name in given.names}
    began = time.monotonic()
    findings = _try_all(bugs)
    seconds = round(time.monotonic() - began, 1)
    missed = {trial: finding for trial, finding in findings.items() if finding.verdict is not Verdict.CAUGHT}
    caught = len(bugs) - len({trial.bug for trial in missed})
    if given.figures is not None:
        rows = [
            {"bug": bug, "promise": bugs[bug].promise, "wrong": bugs[bug].wrong, "test": test,
             "verdict": finding.verdict, "seconds": round(finding.seconds, 1), "why": finding.why}
            for (bug, test), finding in findings.items()
        ]  # fmt: skip
        figures = {"bugs": len(bugs), "caught": caught, "seconds": seconds, "trials": rows}
        given.figures.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"{caught} of {len(bugs)} bugs caught in {seconds} s")
    for trial, finding in missed.items():
        console.print(f"{trial.bug}: {escape(trial.test)}: {finding.verdict}", highlight=False, soft_wrap=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
