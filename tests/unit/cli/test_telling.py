"""The demonstration's story off a terminal: lines for people, JSON lines for programs."""

from __future__ import annotations

import json

import pytest

from pipeline.cli.telling import Lines, Story
from pipeline.rehearsal.checks import equal, none

CHECKS = [equal("readings folded", 196_249, 196_249), none("  readings lost", [(0, 17)])]


def test_figures_stand_below_each_other_and_a_failed_check_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    Story().checks(CHECKS)
    assert capsys.readouterr().out.splitlines() == [
        "                       check            expected    found",
        "               ok      readings folded   196,249  196,249",
        "               FAILED    readings lost         0        1",
        "             readings lost: such as (0, 17)",
    ]


def test_a_table_aligns_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    Story().table("statistics", [{"metric": "power", "count": 5, "mean": 3.14159}, {"metric": "x", "count": 12_345,
                                                                                   "mean": 101_993.2}])  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "               metric   count     mean",
        "               power        5     3.14",
        "               x       12,345  101,993",
    ]


def test_bars_are_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    story.bar("sent", 5, 10, "        5")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("pipeline.cli.telling.LINE_EVERY_S", 0.0)
    story.bar("folded", 3, 10, "        2 behind")
    assert capsys.readouterr().out == "             … sent 5, folded 2 behind\n"


def test_programs_get_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.step("Telemetry comes in", rate=10)
    lines.restored(3, 100, 0.5)
    lines.checks(CHECKS)
    lines.end("Proved")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"step": 1, "text": "Telemetry comes in", "rate": 10},
        {"restored": 3, "records": 100, "seconds": 0.5},
        {"check": "readings folded", "expected": 196_249, "actual": 196_249, "passed": True, "why": ""},
        {"check": "readings lost", "expected": 0, "actual": 1, "passed": False, "why": "such as (0, 17)"},
        {"verdict": "Proved"},
    ]
