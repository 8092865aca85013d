"""What the documentation says is so: links lead somewhere, commands parse, lists are complete, code runs."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from operators import iot
from pipeline import errors
from pipeline.cli.main import app
from pipeline.runtime.catalogue import Metric
from pipeline.settings import Settings
from pipeline.topics import TopicPlan
from schemas.reasons import Reason

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
}
INTERRUPTED: Final = 130

_FENCE: Final = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_REDIRECTION: Final = re.compile(r"\d*>&?\s*\S+")
_ASSIGNMENT: Final = re.compile(r"[A-Z_]+=")
_OURS: Final = re.compile(r"(?:pipeline|operators|schemas|tests|docs|benchmarks)/[\w./-]+")


def prose(page: str) -> str:
    return _FENCE.sub("", PAGES[page])


def blocks(page: str, language: str) -> list[str]:
    return [text for name, text in _FENCE.findall(PAGES[page]) if name == language]


def section(page: str, title: str) -> str:
    """What stands under a heading of the second level."""
    parts: list[str] = re.split(r"^## (.+)\n", PAGES[page], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def anchors(text: str) -> set[str]:
    """Those that GitHub makes of the headings."""
    titles = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def simple_commands(script: str) -> Iterator[list[str]]:
    """The commands of a shell script, without redirections and assignments."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(_REDIRECTION.sub("", line), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for is_separator, words in groupby(lexer, key=lambda word: set(word) <= set("();<>|&")):
            listed = list(words)
            while listed and _ASSIGNMENT.match(listed[0]):
                listed.pop(0)
            if listed and not is_separator:
                yield listed


def commands(page: str) -> list[list[str]]:
    """The `statelog` command lines in a page's scripts, without their first word."""
    scripts = [*blocks(page, "sh"), *re.findall(r"^ {4}(statelog .*)$", prose(page), re.MULTILINE)]
    return [words[1:] for script in scripts for words in simple_commands(script) if words[0] == "statelog"]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in _LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), f"{page} links to {target}"
        assert not anchor or anchor in anchors(found.read_text()), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_are_there(page: str) -> None:
    for text in _INLINE.findall(prose(page)):
        assert not _OURS.fullmatch(text) or (ROOT / text).exists(), f"{page} names {text}"


def test_the_scripts_are_found() -> None:
    found = [words[0] for page in PAGES for words in commands(page)]
    assert set(found) >= {"broker", "topics", "worker", "produce", "get", "status", "verify", "rebuild", "forget"}
    assert list(simple_commands("A=1 statelog get x 2> y.log & z=$!  # why")) == [["statelog", "get", "x"], ["z=$!"]]


@pytest.mark.parametrize("page", PAGES)
def test_command_lines_in_scripts_parse(page: str) -> None:
    for words in commands(page):
        command, left = typer.main.get_command(app), list(words)
        while isinstance(command, TyperGroup) and left:
            assert left[0] in command.commands, f"{page}: statelog {shlex.join(words)}"
            command = command.commands[left.pop(0)]
        try:
            command.make_context("statelog", left)
        except Exception as error:
            pytest.fail(f"{page}: statelog {shlex.join(words)}: {error!r}")


@pytest.mark.parametrize("page", PAGES)
def test_command_lines_in_sentences_have_such_options(page: str) -> None:
    for text in sorted(set(_INLINE.findall(prose(page)))):
        if text.startswith("statelog "):
            result = CliRunner().invoke(app, [*shlex.split(text)[1:], "--help"])
            assert result.exit_code == 0, f"{page}: {text}: {result.output}"


def test_make_targets_and_modules_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, text in PAGES.items():
        assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets, page
        for module in re.findall(r"python -m ((?:pipeline|benchmarks)[\w.]*)", text):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"{page} names {module}"


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    documented = {name: default for name, default, _ in rows(section("docs/operating.md", "Settings"))}
    words = {None: "none", "": "empty"}
    assert documented == {
        f"STATELOG_{name.upper()}": words.get(field.default, str(field.default))
        for name, field in Settings.model_fields.items()
    }


def test_every_topic_is_documented_with_its_settings_and_no_other() -> None:
    documented = {
        topic: dict(setting.split("=") for setting in re.findall(r"[\w.-]+=[\w.-]+", settings))
        for topics, settings in rows(section("docs/your-own-cluster.md", "Make the topics"))
        for topic in re.findall(r"[\w-]+", topics)
    }
    assert documented == TopicPlan(iot.topology()).configs


def test_every_metric_is_documented_and_no_other() -> None:
    assert rows(section("docs/operating.md", "Metrics")) == [
        [name, kind, ", ".join(labels), meaning]
        for name, kind, meaning, labels, _ in (metric.value for metric in Metric)
    ]


def test_every_error_has_its_heading_and_no_other() -> None:
    headings = re.findall(r"^### (\w+)$", section("docs/operating.md", "Errors, and what to do"), re.MULTILINE)
    classes = [name for name, each in vars(errors).items() if inspect.isclass(each) and issubclass(each, Exception)]
    assert sorted(headings) == sorted(classes)


def test_every_exit_code_is_documented_and_no_other() -> None:
    codes = {int(code) for code, _ in rows(section("docs/operating.md", "Exit codes"))}
    assert codes == {value for value in vars(errors.ExitCode).values() if isinstance(value, int)} | {INTERRUPTED}


def test_every_reason_of_a_refusal_is_documented_and_no_other() -> None:
    documented = [reason for reason, _, _ in rows(section("docs/dead-letters.md", "Reasons of the IoT topology"))]
    assert documented == list(Reason)


def test_the_operator_of_the_guide_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tests too, and its topology loads as the guide says."""
    from pipeline.runtime.start import load_topology

    module, its_tests, _ = blocks("docs/write-your-own-operator.md", "python")
    (tmp_path / "rooms.py").write_text(module)
    (tmp_path / "rooms_test.py").write_text(f"from rooms import *\nfrom rooms import Record, Refusal\n{its_tests}")
    monkeypatch.syspath_prepend(str(tmp_path))
    topology = load_topology(Settings(topology="rooms:topology"))
    dead_letters = ("dead-letters", "dead-letters-redriven")
    assert topology.topics == ("gates", "passages", "rooms-changelog", "alerts", *dead_letters)
    __import__("rooms_test")


def test_the_driver_of_the_guide_works(pytester: pytest.Pytester) -> None:
    module, _, its_driver = blocks("docs/write-your-own-operator.md", "python")
    pytester.makepyfile(rooms=module, test_rooms=its_driver)
    pytester.syspathinsert()
    pytester.runpytest().assert_outcomes(passed=1)
