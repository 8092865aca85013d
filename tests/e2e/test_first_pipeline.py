"""`docs/your-first-pipeline.md`, followed to the letter: each command as it stands there, and what it should print."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from pipeline.broker.fetch import cache_directory
from pipeline.broker.ports import free_port
from tests.support.reaper import ends_with_us
from tests.support.waiting import eventually

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "your-first-pipeline.md"
PORT: Final = "19092"

_FENCE: Final = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANYTHING: Final = "…"


class Step(NamedTuple):
    script: str
    shown: str | None
    """What the page says that it prints; a question, which may be asked again until that is the answer."""


def steps(page: str) -> list[Step]:
    found: list[Step] = []
    for language, text in _FENCE.findall(page):
        if language == "sh":
            found.append(Step(text, None))
        else:
            assert found[-1].shown is None, text
            found[-1] = found[-1]._replace(shown=text)
    return found


def as_shown(output: str, shown: str) -> bool:
    """Whether these lines are there, one after the other, with any number of spaces between words."""
    pattern = re.escape(_spaced(shown)).replace(re.escape(_ANYTHING), ".*?")
    return re.search(pattern, _spaced(output), re.DOTALL) is not None


def _spaced(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


class Terminal:
    """A bash that somebody types into."""

    def __init__(self, home: Path) -> None:
        others = {name: value for name, value in os.environ.items() if not name.startswith("STATELOG_")}
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=ROOT,
            env={
                **others,
                "HOME": str(home),
                "STATELOG_CACHE_DIR": str(cache_directory()),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        ends_with_us(self._shell)

    def types(self, script: str) -> tuple[str, int]:
        """What it printed, and its exit code."""
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{script}code=$?; echo; echo done-$code\n")
        self._shell.stdin.flush()
        output = ""
        for line in self._shell.stdout:
            if line.startswith("done-"):
                return output, int(line.removeprefix("done-"))
            output += line
        raise AssertionError(f"the shell is gone: {output}")

    def asks(self, script: str, shown: str) -> None:
        """Until it prints what is shown."""
        output = ""

        def answered() -> bool:
            nonlocal output
            output, code = self.types(script)
            return code == 0 and as_shown(output, shown)

        try:
            eventually(answered, "it prints what the page says", pause_s=1)
        finally:
            print(output)

    def close(self) -> None:
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()


@pytest.mark.timeout(900)
def test_every_command_does_what_the_page_says(tmp_path: Path) -> None:
    port = str(free_port())
    terminal = Terminal(tmp_path)
    try:
        for step in steps(PAGE.read_text()):
            # A stranger's clone needs an environment; a test has one.
            script = step.script.replace("make setup\nexport PATH=$PWD/.venv/bin:$PATH\n", "").replace(PORT, port)
            print(script, end="")
            if step.shown is not None:
                terminal.asks(script, step.shown)
                continue
            output, code = terminal.types(script)
            assert code == 0, output
    finally:
        terminal.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_compared_is_compared() -> None:
    assert as_shown("a  b\nc 12\n", "a b\nc …\n")
    assert as_shown("x\na b\nc\nd\n", "a  b\n…\nd\n")
    assert not as_shown("a b\nd\n", "a b\nc\n")
    assert [step.shown for step in steps("```sh\na\n```\n```text\nb\n```\n```sh\nc\n```\n")] == ["b\n", None]
