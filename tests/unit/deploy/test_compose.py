"""compose.yaml: its commands, settings, files and versions are those of the project, and what it watches it runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml
from cryptography import x509
from typer.testing import CliRunner

from pipeline.broker.config import SETTINGS
from pipeline.broker.lock import read_lock
from pipeline.cli.main import app
from pipeline.query.outgoing import Outgoing
from pipeline.query.protection import Protection
from pipeline.settings import Settings
from tests.support.identities import bearer
from tests.unit.query.world import world

DEPLOY: Final = Path(__file__).parents[3] / "deploy"
PROMETHEUS: Final = DEPLOY / "prometheus/prometheus.yml"
PROMTOOL: Final = shutil.which("promtool")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return as_written("compose.yaml")


def as_written(name: str) -> dict[str, Any]:
    """Each variable at its default."""
    text = re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", (DEPLOY / name).read_text())
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


# With TLS and tokens


@pytest.fixture(scope="module")
def secured() -> dict[str, dict[str, Any]]:
    """What compose.secured.yaml says beyond compose.yaml, by service."""
    found: dict[str, dict[str, Any]] = as_written("compose.secured.yaml")["services"]
    return found


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script makes."""
    directory = tmp_path_factory.mktemp("made") / "secrets"
    statelog = shlex.join([sys.executable, "-c", "from pipeline.cli.main import run; run()"])
    wrapper = directory.parent / "statelog"
    wrapper.write_text(f'#!/bin/sh\nexec {statelog} "$@"\n')
    wrapper.chmod(0o700)
    environment = {**os.environ, "STATELOG": str(wrapper), "PYTHONPATH": str(DEPLOY.parent)}
    done = subprocess.run(
        [DEPLOY / "secrets.sh", directory], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return directory


def settings_of(service: dict[str, Any], secrets: Path) -> dict[str, Any]:
    """Files as they are on this machine."""
    (mount,) = service["volumes"]
    assert mount == "./secrets:/etc/statelog:ro"
    return {
        name.removeprefix("STATELOG_").lower(): value.replace("/etc/statelog", str(secrets))
        for name, value in service["environment"].items()
    }


def test_every_service_of_ours_that_speaks_http_is_secured(
    ours: dict[str, dict[str, Any]], secured: dict[str, dict[str, Any]]
) -> None:
    assert secured.keys() == ours.keys() - {"topics"} | {"prometheus"}
    settings = {f"STATELOG_{name.upper()}" for name in Settings.model_fields}
    assert all(each.get("environment", {}).keys() <= settings for each in secured.values())


def test_workers_serve_with_what_the_script_makes_and_are_asked_by_their_names(
    workers: dict[str, dict[str, Any]], secured: dict[str, dict[str, Any]], secrets: Path
) -> None:
    operator = settings_of(secured["statelog"], secrets)
    assert Path(operator.pop("http_token_file")).exists()
    nobody = Outgoing.of(Settings(**operator))
    certificate = x509.load_pem_x509_certificate((secrets / "worker.pem").read_bytes())
    named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {*named.get_values_for_type(x509.DNSName)} >= workers.keys()
    for name in workers:
        settings = Settings(http="0.0.0.0:8080", **settings_of(secured[name], secrets))
        assert not settings.http_insecure
        protection = Protection.of(settings)
        assert protection.tls is not None
    with world(1, credentials=protection.credentials, tls=protection.tls, outgoing=nobody) as one:
        one.worker("a", [0])
        tokens = {
            each: (secrets / f"{each}.token").read_text().strip() for each in ("workers", "operator", "prometheus")
        }
        allowed = {
            who: [
                path
                for path in ("/v1/words", "/v1/status", "/v1/verify", "/metrics", "/v1/checkpoint/0")
                if asked(nobody, one.url("a", path), token) not in {401, 403}
            ]
            for who, token in {**tokens, "nobody": "x"}.items()
        }
        # As a container's own health check asks.
        (*_, script) = secured["aggregate-0"]["healthcheck"]["test"]
        address = one.servers["a"].address
        checked = script.replace("127.0.0.1:8080", address)
        assert checked != script
        assert subprocess.run([sys.executable, "-c", checked], capture_output=True, check=False).returncode == 0
    assert allowed == {
        "workers": ["/v1/status", "/v1/checkpoint/0"],
        "operator": ["/v1/words", "/v1/status", "/v1/verify"],
        "prometheus": ["/metrics"],
        "nobody": [],
    }


def asked(outgoing: Outgoing, url: str, token: str) -> int:
    """The status."""
    with outgoing.client(httpx.Timeout(60)) as client:
        return client.get(url, headers=bearer(token)).status_code


def test_prometheus_scrapes_the_same_over_tls_with_its_token(secured: dict[str, dict[str, Any]], secrets: Path) -> None:
    plain = yaml.safe_load(PROMETHEUS.read_text())
    config = yaml.safe_load((DEPLOY / "prometheus/secured.yml").read_text())
    (job,) = config["scrape_configs"]
    files = [job.pop("tls_config")["ca_file"], job.pop("authorization")["credentials_file"]]
    assert job.pop("scheme") == "https"
    assert config == plain, "nothing else is different"
    assert all((secrets / file.removeprefix("/etc/statelog/")).exists() for file in files)
    assert "--config.file=/etc/prometheus/secured.yml" in secured["prometheus"]["command"]
    assert secured["prometheus"]["volumes"] == ["./secrets:/etc/statelog:ro"]
