"""What a drill says at its end follows from its checks, and from nothing else."""

from __future__ import annotations

import pytest

from pipeline.drill.report import Report, conclude_all
from pipeline.errors import StatesDiffer
from pipeline.rehearsal.checks import Check, each_once, equal

SENT = {(0, 1), (0, 2)}
ONCE = {(0, 1): 1, (0, 2): 1}


def report(found: dict[tuple[int, int], int], *more: Check, drill: str = "kill") -> Report:
    return Report(drill, 3, 12_000, [*each_once("readings", SENT, found), *more], [2.0, 1.0, 4.0], 31.25)


def test_its_row_and_its_verdict_tell_what_was_found() -> None:
    good = report(ONCE)
    assert good.row() == {
        "drill": "kill",
        "verdict": "proved",
        "faults": 3,
        "lost": 0,
        "doubled": 0,
        "messages": 12_000,
        "p50_s": 2.0,
        "p99_s": 4.0,
        "seconds": 31.2,
    }
    assert "went on after 2.0 s (p50), 4.0 s (p99)" in good.verdict()
    assert conclude_all([good]) == good.verdict()


@pytest.mark.parametrize(
    ("found", "what"), [({(0, 1): 1}, "readings lost"), ({(0, 1): 1, (0, 2): 2}, "readings doubled")]
)
def test_one_reading_too_few_or_too_many_is_a_failure(found: dict[tuple[int, int], int], what: str) -> None:
    bad = report(found)
    assert bad.row()["verdict"] == "FAILED"
    assert bad.verdict() == f"kill: FAILED, 1 of 3 checks: {what}"


def test_a_fault_that_hit_nothing_is_a_failure() -> None:
    assert not report(ONCE, equal("kills -9 that hit work taken and not committed", 3, 2)).passed


def test_one_failed_drill_of_several_is_named_and_exits_3() -> None:
    reports = [report(ONCE), report({(0, 1): 1}, drill="zombie"), report(ONCE, drill="poison")]
    with pytest.raises(StatesDiffer, match=r"readings lost .*drill=zombie") as raised:
        conclude_all(reports)
    assert raised.value.exit_code == 3


def test_where_nothing_was_hit_no_time_is_told() -> None:
    empty = Report("poison", 0, 0, each_once("readings", SENT, ONCE), [], 1.0)
    figures = {row["measured"]: row["figure"] for row in empty.figures()}
    assert figures["from the fault to the first progress, p99"] == "-"
