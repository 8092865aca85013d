"""What came out of a drill: its figures, and its line in the list of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.drill.recovery import percentile
from pipeline.errors import PipelineError
from pipeline.rehearsal.checks import Check, conclude

NOT_MEASURED = "-"


@dataclass(frozen=True)
class Report:
    """One drill, after its proof."""

    drill: str
    faults: int
    messages: int
    checks: Sequence[Check]
    recoveries: Sequence[float]
    """Seconds from a fault to the first progress, of each partition that was hit."""
    seconds: float
    """All of it."""

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def recovery(self, percent: float) -> float | str:
        seconds = percentile(self.recoveries, percent)
        return NOT_MEASURED if seconds is None else round(seconds, 3)

    def figures(self) -> list[dict[str, Any]]:
        """A figure a row."""
        rows = [
            ("faults", self.faults, ""),
            ("messages sent meanwhile", self.messages, ""),
            ("partitions hit, each time", len(self.recoveries), ""),
            ("from the fault to the first progress, p50", self.recovery(50), "s"),
            ("from the fault to the first progress, p99", self.recovery(99), "s"),
            ("all of it", round(self.seconds, 3), "s"),
        ]
        return [{"measured": name, "figure": figure, "unit": unit} for name, figure, unit in rows]

    def row(self) -> Mapping[str, Any]:
        """For a table of several drills."""
        return {
            "drill": self.drill,
            "verdict": "proved" if self.passed else "FAILED",
            "faults": self.faults,
            "lost": self._found("readings lost"),
            "doubled": self._found("readings doubled"),
            "messages": self.messages,
            "p50_s": self.recovery(50),
            "p99_s": self.recovery(99),
            "seconds": round(self.seconds, 1),
        }

    def verdict(self) -> str:
        """In one line."""
        if not self.passed:
            failed = [check.what.strip() for check in self.checks if not check.passed]
            return f"{self.drill}: FAILED, {len(failed)} of {len(self.checks)} checks: {', '.join(failed)}"
        return (
            f"{self.drill}: proved. Nothing lost, nothing doubled, every store equal to both replays; "
            f"what was hit went on after {self.recovery(50)} s (p50), {self.recovery(99)} s (p99)"
        )

    def _found(self, what: str) -> Any:
        return next(check.actual for check in self.checks if check.what == what)


def conclude_all(reports: Sequence[Report]) -> str:
    """The verdict on all of them. Raises StatesDiffer, with the drills named, when a check has failed."""
    for report in reports:
        try:
            conclude(report.checks)
        except PipelineError as error:
            error.data["drill"] = report.drill
            raise
    if len(reports) == 1:
        return reports[0].verdict()
    return f"{len(reports)} drills proved: nothing lost, nothing doubled, every store equal to both replays"
