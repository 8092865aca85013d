"""The base of the command: quick help, shared flags, one line an error, the contract's exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.cli.options import FLAGS, Run, register
from pipeline.cli.rehearsing import INTERRUPTED
from pipeline.errors import (
    Fenced,
    Misconfigured,
    PipelineError,
    RefusalLimit,
    Retryable,
    StateLost,
)
from pipeline.settings import Settings
from tests.support.reaper import ends_with_us
from tests.support.waiting import PATIENCE_S
from tests.support.worker_process import STATELOG

HEAVY = {"confluent_kafka", "httpx", "jgo", "numpy", "pint", "pydantic", "rocksdict", "starlette", "structlog"}


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in os.environ:
        if name.startswith("STATELOG_"):
            monkeypatch.delenv(name)
    return CliRunner(env={"TERM": "dumb", "COLUMNS": "200"})


def test_the_help_names_the_commands_and_the_exit_codes(runner: CliRunner) -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for word in ("produce", "topics", "5 refusal limit", "6 fenced"):
        assert word in " ".join(result.output.split())


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from pipeline.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        f"print(*sorted({HEAVY!r} & sys.modules.keys()))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == ""


def test_the_flags_of_settings_say_what_the_settings_say() -> None:
    described = {name: field.description for name, field in Settings.model_fields.items()}
    assert {name: described.get(name) for name in FLAGS} == FLAGS


def test_the_help_of_a_command_names_the_variables(runner: CliRunner) -> None:
    result = runner.invoke(app, ["produce", "--help"])
    assert "STATELOG_BOOTSTRAP_SERVERS" in result.output
    assert "--prefix" in result.output


def test_the_version_is_that_of_the_distribution(runner: CliRunner) -> None:
    result = runner.invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("statelog ")


def test_without_a_kafka_the_hint_names_both_ways_out(runner: CliRunner) -> None:
    result = runner.invoke(app, ["topics", "check"])
    assert result.exit_code == 2
    assert "statelog broker" in result.stderr
    assert "STATELOG_BOOTSTRAP_SERVERS" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["topics", "check", "--prefix", "a/b"],
        ["topics", "create", "--retention", "a while", "--bootstrap-servers", "127.0.0.1:9"],
        ["topics", "check", "--topology", "no.such:thing", "--bootstrap-servers", "127.0.0.1:9"],
        ["topics", "create", "--partitions", "0"],
        ["produce", "--bad", "101"],
        ["worker", "aggregate", "--http", "0.0.0.0:0", "--advertise", "a:1", "--bootstrap-servers", "127.0.0.1:9"],
        ["worker", "transform", "--http", "192.0.2.7:80", "--bootstrap-servers", "127.0.0.1:9"],
        ["no-such-command"],
    ],
)
def test_what_cannot_be_meant_exits_2_without_a_traceback(runner: CliRunner, arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr
    assert "Traceback" not in result.stderr


def test_an_unreadable_setting_is_named_with_its_variable(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATELOG_COMMIT_INTERVAL_MS", "soon")
    result = runner.invoke(app, ["topics", "check"])
    assert result.exit_code == 2
    assert "STATELOG_COMMIT_INTERVAL_MS" in result.stderr
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PipelineError("x"), 1),
        (Retryable("x"), 1),
        (StateLost("x"), 1),
        (Misconfigured("x"), 2),
        (RefusalLimit("x"), 5),
        (Fenced("x"), 6),
    ],
)
def test_an_error_is_a_line_a_hint_and_its_exit_code(runner: CliRunner, error: PipelineError, code: int) -> None:
    error.hint = "try\nthat \x1b[31mthing"

    def fail(_run: Run) -> None:
        """Fail."""
        raise error

    failing = typer.Typer()
    register(failing, "fail", fail)
    result = runner.invoke(failing, [])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.splitlines() == ["error: x", "hint:  try\\nthat \\x1b[31mthing"]


def test_a_flag_wins_over_the_environment_and_that_over_the_default(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(run: Run) -> None:
        """Show the settings."""
        run.output.record({"prefix": run.settings.prefix, "id": run.settings.id, "topology": run.settings.topology})

    showing = typer.Typer()
    register(showing, "show", show, "id")
    monkeypatch.setenv("STATELOG_PREFIX", "from-environment.")
    monkeypatch.setenv("STATELOG_ID", "w1")
    result = runner.invoke(showing, ["--prefix", "from-flag.", "--json"])
    assert json.loads(result.stdout) == {
        "prefix": "from-flag.",
        "id": "w1",
        "topology": Settings.model_fields["topology"].default,
    }


def test_tables_are_for_people_and_json_lines_for_programs(runner: CliRunner) -> None:
    rows = [{"device": "malmö-1\x1b[0m", "count": 1_234_567, "mean": 1.5, "gone": None, "tags": {"a": True}}]

    def show(run: Run) -> None:
        """Show a table."""
        run.output.table(rows, ["device", "count", "mean", "gone", "tags"])

    showing = typer.Typer()
    register(showing, "show", show)
    assert json.loads(runner.invoke(showing, ["--json"]).stdout) == rows[0]
    table = runner.invoke(showing, []).stdout
    assert "1,234,567" in table
    assert "malmö-1\\x1b[0m" in table
    assert "\x1b" not in table


def test_a_command_that_waits_for_kafka_is_ended_by_sigterm_as_by_ctrl_c() -> None:
    """By its own doing: the first process of a container has no default for signals."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        waiting = subprocess.Popen(
            [*STATELOG, "worker", "transform", "--bootstrap-servers", address],
            stderr=subprocess.PIPE,
            text=True,
        )
        ends_with_us(waiting)
        nobody.settimeout(PATIENCE_S)
        connection, _ = nobody.accept()
        with connection:
            waiting.send_signal(signal.SIGTERM)
            _, said = waiting.communicate(timeout=PATIENCE_S)
    assert waiting.returncode == INTERRUPTED, said
    assert "Traceback" not in said
