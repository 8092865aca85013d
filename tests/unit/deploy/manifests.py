"""The manifests as kustomize would apply them; where neither it nor kubectl is installed, as they stand in the base."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[3]
KUBERNETES: Final = ROOT / "deploy/kubernetes"
BASE: Final = KUBERNETES / "base"
EXAMPLE: Final = KUBERNETES / "overlays/example"
SECURED: Final = KUBERNETES / "overlays/secured"

Manifest = dict[str, Any]


def renderer() -> list[str] | None:
    """The command that renders a kustomization; none is installed: None."""
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    return ["kustomize", "build"] if shutil.which("kustomize") else None


def rendered(directory: Path) -> list[Manifest]:
    command = renderer()
    assert command is not None
    done = subprocess.run([*command, str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def as_written() -> list[Manifest]:
    """The base, without what kustomize makes of it; its generated settings as one more manifest."""
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    found = [each for name in kustomization["resources"] for each in yaml.safe_load_all((BASE / name).read_text())]
    for generator in kustomization["configMapGenerator"]:
        data = dict(literal.split("=", 1) for literal in generator["literals"])
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data})
    return found


def one(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    (found,) = [each for each in manifests if each["kind"] == kind and name in {None, each["metadata"]["name"]}]
    return found


def pod(manifest: Manifest) -> Manifest:
    """The pod that a Deployment, StatefulSet or Job makes."""
    spec: Manifest = manifest["spec"]["template"]["spec"]
    return spec


def container(manifest: Manifest) -> Manifest:
    found: Manifest
    (found,) = pod(manifest)["containers"]
    return found


def environment(manifests: list[Manifest], manifest: Manifest) -> dict[str, str]:
    """By name, what a container gets; what the pod itself is asked for is the path of the field."""
    of = {each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "ConfigMap"}
    own = container(manifest)
    found: dict[str, str] = {}
    for source in own.get("envFrom", []):
        found |= of[source["configMapRef"]["name"]]
    for each in own.get("env", []):
        found[each["name"]] = each["value"] if "value" in each else each["valueFrom"]["fieldRef"]["fieldPath"]
    return found
