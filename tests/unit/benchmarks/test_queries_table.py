"""Figures of queries, as a table."""

from __future__ import annotations

from typing import Any

from benchmarks.queries_table import table


def run(what: str, server: str, number: int, **figures: float) -> dict[str, Any]:
    return {"what": what, "server": server, "round": number, **figures}


def test_a_loss_is_that_of_its_own_round() -> None:
    answered = {"questions_per_s": 1_900.0, "p50_ms": 0.5, "p99_ms": 2.0, "errors": 1}
    runs = [run("idle", "thread", 0, cpu_us=200, compared=7, **answered), run("half", "thread", 0, **answered)]
    for number, (alone, asked) in enumerate([(100_000, 90_000), (50_000, 50_000), (80_000, 60_000)]):
        runs += [run("full", "nobody", number, records_per_s=alone)]
        runs += [run("full", "thread", number, records_per_s=asked, **answered)]
    machine = {"cores": "2", "processor": "some", "python": "3.11"}
    report = {"machine": machine, "load_before": 0.1, "devices": 10, "asked_per_s": 2_000.0, "rate": 9, "runs": runs}
    text = table(report)
    assert "| idle | thread | 1,900 | 0.50 | 2.0 | - | - | 1 |" in text
    assert "| at all its rate | thread | 1,900 | 0.50 | 2.0 | 60,000 | 10 (0 to 25) | 3 |" in text
    assert "7 were compared" in text
