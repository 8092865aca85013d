"""What `statelog status --skew` makes of what workers tell."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.cli.skew import loads_of
from pipeline.client import PartitionRow, SkewReport, SkewRow
from pipeline.errors import ExitCode


def row(partition: int, rate: float | None, stage: str = "s") -> PartitionRow:
    return PartitionRow(stage, partition, "a", "active", 5, 7, rate, None)


def told(partition: int, seconds: float, records: int, stage: str = "s") -> SkewRow:
    return SkewRow(stage, partition, "a", seconds, records, records, 0, [])


def test_shares_are_of_rates_so_that_a_partition_that_has_just_come_counts_in_full() -> None:
    rows = [row(0, 9.0), row(1, 9.0), row(0, 1.0, "t")]
    loads = loads_of(rows, SkewReport([told(0, 120, 12_000), told(1, 10, 3_000), told(0, 1, 1, "t")]))
    assert [each.events_s for each in loads] == [100, 300, 1]
    assert [each.share for each in loads] == [0.25, 0.75, 1.0]
    assert [each.to_mean for each in loads] == [0.5, 1.5, 1.0]


def test_where_no_worker_tells_the_rate_of_the_last_seconds_stands_in_and_where_none_is_known_nothing() -> None:
    loads = loads_of([row(0, 30.0), row(1, 7.0), row(2, None)], SkewReport([told(1, 10, 100)]))
    assert [(each.events_s, each.share) for each in loads] == [(30, 0.75), (10, 0.25), (None, None)]


def test_where_nothing_comes_nothing_has_a_share() -> None:
    assert [each.share for each in loads_of([row(0, 0.0)], SkewReport([]))] == [None]


@pytest.mark.parametrize("options", [["--skew", "--watch"], ["--prefix", "press-"]])
def test_options_that_do_not_go_together_are_refused(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["status", *options])
    assert result.exit_code == ExitCode.MISCONFIGURED, result.output
