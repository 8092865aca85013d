"""The Kubernetes manifests: valid by Kubernetes' own schemas, and saying what workers expect of whoever runs them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.query.outgoing import Outgoing
from pipeline.query.protection import Protection
from pipeline.runtime.identity import group_of
from pipeline.runtime.start import load_topology, stage_of
from pipeline.settings import Settings
from tests.support.identities import Certificates, Tokens
from tests.unit.deploy.manifests import (
    BASE,
    EXAMPLE,
    SECURED,
    Manifest,
    as_written,
    container,
    environment,
    one,
    pod,
    rendered,
    renderer,
)

VERSIONS: Final = ("1.31", "1.33")
"""Of Kubernetes: the oldest that the manifests are for, and a newer one."""
WORKERS: Final = (("Deployment", "statelog-transform"), ("StatefulSet", "statelog-aggregate"))
NEED_KUSTOMIZE: Final = pytest.mark.skipif(renderer() is None, reason="neither kubectl nor kustomize is installed")
COMMIT_S: Final = Settings.model_fields["transaction_timeout_ms"].default / 1_000

WAYS: Final = [
    pytest.param(as_written, id="as written"),
    pytest.param(lambda: rendered(BASE), id="base", marks=NEED_KUSTOMIZE),
    pytest.param(lambda: rendered(EXAMPLE), id="example", marks=NEED_KUSTOMIZE),
    pytest.param(lambda: rendered(SECURED), id="secured", marks=NEED_KUSTOMIZE),
]


@pytest.fixture(params=WAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    found: list[Manifest] = request.param()
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_each_is_valid_by_the_schema_of_its_kind(manifests: list[Manifest], version: str) -> None:
    own = [each for each in manifests if not each["apiVersion"].startswith("keda.sh/")]
    assert len(own) > len(manifests) / 2
    for each in own:
        kubernetes_validate.validate(each, version, strict=True)


def test_a_mistake_in_a_manifest_is_found() -> None:
    broken = one(as_written(), "StatefulSet")
    pod(broken)["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_no_container_is_root_or_writes_beside_its_volumes(manifests: list[Manifest]) -> None:
    for each in manifests:
        if each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            of_pod, own = pod(each)["securityContext"], container(each)["securityContext"]
            assert of_pod["runAsNonRoot"]
            assert of_pod["runAsUser"] == of_pod["fsGroup"] == 10001
            assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
            assert own == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert pod(each)["automountServiceAccountToken"] is False


def test_what_containers_get_are_settings_and_commands(manifests: list[Manifest]) -> None:
    settings = {f"STATELOG_{name.upper()}" for name in Settings.model_fields}
    for each in manifests:
        if each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            assert environment(manifests, each).keys() <= settings | {"POD_IP", "POD_NAMESPACE"}
            shown = CliRunner().invoke(app, [*container(each)["args"], "--help"])
            assert shown.exit_code == 0, shown.output


@pytest.mark.parametrize(("kind", "name"), WORKERS)
def test_one_that_restores_is_not_ready_and_not_dead(manifests: list[Manifest], kind: str, name: str) -> None:
    own = container(one(manifests, kind, name))
    paths = {probe: own[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


@pytest.mark.parametrize(("kind", "name"), WORKERS)
def test_there_is_time_to_drain(manifests: list[Manifest], kind: str, name: str) -> None:
    worker = one(manifests, kind, name)
    before = container(worker).get("lifecycle", {}).get("preStop", {"exec": {"command": ["sleep", "0"]}})
    sleep, seconds = before["exec"]["command"]
    assert sleep == "sleep"
    assert pod(worker)["terminationGracePeriodSeconds"] > float(seconds) + 2 * COMMIT_S


def test_an_aggregate_worker_is_its_pod(manifests: list[Manifest]) -> None:
    worker = one(manifests, "StatefulSet")
    names = one(manifests, "Service", worker["spec"]["serviceName"])
    given = environment(manifests, worker)
    assert given["STATELOG_ID"] == "metadata.name"
    name, _, domain = given["STATELOG_ADVERTISE"].removesuffix(":8080").partition(f".{worker['spec']['serviceName']}")
    assert (name, domain) in {("$(STATELOG_ID)", ""), ("$(STATELOG_ID)", ".$(POD_NAMESPACE).svc")}
    order = [each["name"] for each in container(worker)["env"]]
    used = re.findall(r"\$\((\w+)\)", given["STATELOG_ADVERTISE"])
    assert all(order.index(each) < order.index("STATELOG_ADVERTISE") for each in used), "only those before it are known"
    # Its peers ask one that restores how far it is.
    assert names["spec"]["publishNotReadyAddresses"]
    assert names["spec"]["clusterIP"] == "None"
    (claim,) = worker["spec"]["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/var/lib/statelog"} in container(worker)["volumeMounts"]


@pytest.mark.parametrize(("kind", "name"), WORKERS)
def test_few_are_disturbed_at_a_time(manifests: list[Manifest], kind: str, name: str) -> None:
    budget = one(manifests, "PodDisruptionBudget", name)
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == one(manifests, kind, name)["spec"]["selector"]


def test_every_selector_finds_its_pods_and_no_others(manifests: list[Manifest]) -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in manifests
        if each["kind"] in {"Deployment", "StatefulSet", "Job"}
    ]
    for each in manifests:
        if each["kind"] in {"Deployment", "StatefulSet", "Service", "PodDisruptionBudget"}:
            selector = each["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            assert sum(wanted.items() <= each.items() for each in labels) == 1, each["metadata"]["name"]


def test_transform_workers_are_counted_by_the_lag_of_their_own_group(manifests: list[Manifest]) -> None:
    scaled = one(manifests, "ScaledObject")["spec"]
    worker = one(manifests, "Deployment", scaled["scaleTargetRef"]["name"])
    assert "replicas" not in worker["spec"], "an apply would undo what KEDA has set"
    given = environment(manifests, worker)
    stage = stage_of(load_topology(Settings()), "transform")
    prefix = given.get("STATELOG_PREFIX", "")
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "kafka"
    asked = trigger["metadata"]
    assert asked["bootstrapServers"] == given["STATELOG_BOOTSTRAP_SERVERS"]
    assert (asked["consumerGroup"], asked["topic"]) == (group_of(prefix, stage), prefix + stage.source)
    partitions = container(one(manifests, "Job"))["args"][-1]
    assert scaled["maxReplicaCount"] <= int(partitions), "one more would have nothing to do"


@NEED_KUSTOMIZE
@pytest.mark.parametrize(("kind", "name"), WORKERS)
def test_with_tls_and_tokens_a_worker_starts_beyond_loopback_and_is_probed_over_tls(
    kind: str, name: str, tmp_path: Path
) -> None:
    manifests = rendered(SECURED)
    worker = one(manifests, kind, name)
    probes = [container(worker)[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert {each["scheme"] for each in probes} == {"HTTPS"}
    given = {name: value for name, value in environment(manifests, worker).items() if "_HTTP" in name}
    mounts = {each["mountPath"]: each["name"] for each in container(worker)["volumeMounts"]}
    secrets = {each["name"]: each["secret"]["secretName"] for each in pod(worker)["volumes"] if "secret" in each}
    # Each file from the secret that says so, as the names of its keys.
    made = Certificates(tmp_path).of("worker", "statelog-aggregate-0.statelog-aggregate.telemetry.svc")
    tokens = Tokens(tmp_path)
    there = {
        ("statelog-http", "tls.crt"): made["http_certificate_file"],
        ("statelog-http", "tls.key"): made["http_key_file"],
        ("statelog-http", "ca.crt"): made["http_ca_file"],
        ("statelog-tokens", "workers.token"): tokens.file_of("workers", "status", "checkpoint"),
        ("statelog-tokens", "tokens"): tokens.path,
    }
    files: dict[str, Any] = {}
    for setting in [each for each in given if each.endswith("_FILE")]:
        mount, _, key = given[setting].rpartition("/")
        files[setting.removeprefix("STATELOG_").lower()] = there.pop((secrets[mounts[mount]], key))
    assert not there, "all that the secrets hold is used"
    settings = Settings(http="0.0.0.0:8080", http_insecure=given["STATELOG_HTTP_INSECURE"] == "true", **files)
    protection = Protection.of(settings)
    assert protection.tls is not None
    assert protection.credentials is not None
    Outgoing.of(settings)


@NEED_KUSTOMIZE
def test_the_example_gives_its_files_to_every_container() -> None:
    manifests = rendered(EXAMPLE)
    for each in manifests:
        if each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            (mount,) = [mount for mount in container(each)["volumeMounts"] if mount["name"] == "kafka"]
            given = environment(manifests, each)
            files = [value for name, value in given.items() if name.endswith("_FILE")]
            assert files
            assert all(value.startswith(mount["mountPath"] + "/") for value in files)
            assert container(each)["image"].startswith("registry.example/")
