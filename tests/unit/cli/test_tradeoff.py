"""`statelog tradeoff` before anything is started: what it refuses, and what it says where there is no Redis."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.cli.tradeoff import PLACES
from pipeline.tradeoff.places import SHOWS, Place
from pipeline.tradeoff.redis_server import how_to_get_one

NOWHERE = ("--bootstrap-servers", "127.0.0.1:9")


def test_the_command_knows_every_place() -> None:
    assert tuple(place.value for place in Place) == PLACES
    assert SHOWS.keys() == set(Place)


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-place"],
        ["--readings", "1"],
        ["--rate", "1"],
        ["--devices", "3"],
        ["--seconds", "0"],
        ["--kills", "-1"],
    ],
)
def test_what_cannot_be_meant_exits_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["tradeoff", *arguments, *NOWHERE])
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_a_plot_that_cannot_be_drawn_is_refused_before_anything_starts() -> None:
    result = CliRunner().invoke(app, ["tradeoff", "--plot", "plot.txt", *NOWHERE])
    assert result.exit_code == 2
    assert "no plot can be written" in result.stderr


def test_where_there_is_no_redis_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = how_to_get_one(None)
    assert told is not None
    assert "apt-get install redis-server" in told
    assert "STATELOG_REDIS_URL" in told
    assert how_to_get_one("redis://there:6379") is None


def test_a_program_that_can_run_containers_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.touch(mode=0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert how_to_get_one(None) is None
