"""compose.yaml: its commands, settings, files and versions are those of the project, and what it watches it runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.broker.config import SETTINGS
from pipeline.broker.lock import read_lock
from pipeline.cli.main import app
from pipeline.settings import Settings

DEPLOY: Final = Path(__file__).parents[3] / "deploy"
PROMETHEUS: Final = DEPLOY / "prometheus/prometheus.yml"
PROMTOOL: Final = shutil.which("promtool")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """As it is written, each variable at its default."""
    text = re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", (DEPLOY / "compose.yaml").read_text())
    assert "${" not in text, "a variable without a default"
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.fixture
def ours(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in compose["services"].items() if each["image"] == "statelog"}


@pytest.fixture
def workers(ours: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in ours.items() if each["command"].startswith("worker ")}


def test_the_commands_and_settings_are_such(ours: dict[str, dict[str, Any]]) -> None:
    settings = {f"STATELOG_{name.upper()}" for name in Settings.model_fields}
    for each in ours.values():
        shown = CliRunner().invoke(app, [*shlex.split(each["command"]), "--help"])
        assert shown.exit_code == 0, shown.output
        assert each["environment"].keys() <= settings


def test_each_worker_is_named_as_its_service_and_reached_by_that_name(workers: dict[str, dict[str, Any]]) -> None:
    assert len(workers) == 4
    for name, each in workers.items():
        assert f"--id {name} --advertise {name}:8080" in each["command"]
        assert each["environment"]["STATELOG_HTTP"] == "0.0.0.0:8080"
        assert each["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}


def test_state_is_on_volumes_and_nothing_else_is_writable(
    compose: dict[str, Any], ours: dict[str, dict[str, Any]]
) -> None:
    for name, each in ours.items():
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]
        assert each["security_opt"] == ["no-new-privileges:true"]
        expected = [f"{name}:/var/lib/statelog"] if name.startswith("aggregate") else []
        assert each.get("volumes", []) == expected
    named = [volume.split(":")[0] for each in compose["services"].values() for volume in each.get("volumes", [])]
    assert {name for name in named if not name.startswith(".")} == compose["volumes"].keys()
    assert all((DEPLOY / name).exists() for name in named if name.startswith("."))


def test_ports_are_open_on_loopback_alone(compose: dict[str, Any]) -> None:
    ports = [port for each in compose["services"].values() for port in each.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_kafka_is_the_version_and_is_set_up_as_workers_need_it(compose: dict[str, Any]) -> None:
    kafka = compose["services"]["kafka"]
    assert kafka["image"] == f"apache/kafka:{read_lock().kafka_version}"
    given = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): value for name, value in kafka["environment"].items()
    }
    copies = {name: value for name, value in SETTINGS.items() if name.endswith((".factor", ".isr"))}
    assert len(copies) == 5
    assert copies.items() <= given.items()


def test_prometheus_scrapes_every_worker_for_the_alerts(workers: dict[str, dict[str, Any]]) -> None:
    config = yaml.safe_load(PROMETHEUS.read_text())
    (job,) = config["scrape_configs"]
    assert job["job_name"].startswith("statelog")
    assert [target for each in job["static_configs"] for target in each["targets"]] == [
        f"{name}:8080" for name in workers
    ]
    assert all((PROMETHEUS.parent / name).exists() for name in config["rule_files"])


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_takes_the_configuration() -> None:
    assert PROMTOOL is not None
    checked = subprocess.run([PROMTOOL, "check", "config", PROMETHEUS], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_grafana_finds_its_dashboard_and_where_it_asks(compose: dict[str, Any]) -> None:
    grafana = compose["services"]["grafana"]
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/statelog.yml").read_text())["providers"]
    dashboard = f"{provider['options']['path']}/statelog.json"
    assert f"./grafana/statelog.json:{dashboard}:ro" in grafana["volumes"]
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == dashboard
    assert grafana["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"
