"""`statelog drill` before anything is started: the list, and what it refuses."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.drill.catalogue import DRILLS

NOWHERE = ("--bootstrap-servers", "127.0.0.1:9")


def test_without_a_name_it_lists_the_drills() -> None:
    result = CliRunner().invoke(app, ["drill", "--json"])
    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["drill"]: row["times"] for row in rows} == {drill.name: drill.times for drill in DRILLS.values()}


def test_its_help_names_every_drill() -> None:
    result = CliRunner(env={"TERM": "dumb", "COLUMNS": "200"}).invoke(app, ["drill", "--help"])
    assert all(name in result.output for name in (*DRILLS, "all"))


@pytest.mark.parametrize(
    "arguments",
    [["no-such-drill"], ["kill", "--times", "0"], ["kill", "--rate", "1"], ["kill", "--devices", "3"],
     ["kill", "--count", "10"], ["kill", "--seed", "-1"]],
)  # fmt: skip
def test_what_cannot_be_meant_exits_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["drill", *arguments, *NOWHERE])
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_somebody_elses_broker_is_not_restarted() -> None:
    result = CliRunner().invoke(app, ["drill", "broker-restart", *NOWHERE])
    assert result.exit_code == 2
    assert "cannot restart its brokers" in result.stderr
    assert "unset STATELOG_BOOTSTRAP_SERVERS" in result.stderr
