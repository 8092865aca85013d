"""A command run as a user runs it, whose every trace can be found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.reaper import ends_with_us
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
STATELOG = (sys.executable, "-c", "from pipeline.cli.main import run; run()")


class CommandRun:
    """One run. Its TMPDIR is its own, so that whatever it leaves behind is known by that, files and processes."""

    def __init__(self, directory: Path, *arguments: str, bootstrap_servers: str | None = None) -> None:
        self.files = directory / "tmp"
        self.files.mkdir()
        self._output = directory / "output"
        others = {name: value for name, value in os.environ.items() if not name.startswith("STATELOG_")}
        named = {"STATELOG_BOOTSTRAP_SERVERS": bootstrap_servers} if bootstrap_servers else {}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*STATELOG, *arguments],
                cwd=ROOT,
                env={**others, **named, "TMPDIR": str(self.files)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        ends_with_us(self.process)

    @property
    def text(self) -> str:
        return self._output.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has said with --json."""
        return [json.loads(line) for line in self.text.splitlines(keepends=True) if line.endswith("}\n")]

    def told(self, name: str) -> Any:
        """What the one line with this field says in it."""
        [value] = [line[name] for line in self.lines if name in line]
        return value

    def pids(self) -> list[int]:
        """Every process that has this run's TMPDIR in its environment."""
        listed = subprocess.run(["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        of_ours = [line for line in listed.stdout.splitlines() if f"TMPDIR={self.files}" in line]
        return [int(line.split()[0]) for line in of_ours]

    def until_told(self, name: str, value: Any = None) -> None:
        """Until a line has this field, with this value if one is given."""

        def told() -> bool:
            assert self.process.poll() is None, self.text
            return any(name in line and value in {None, line[name]} for line in self.lines)

        eventually(told, f"it tells of {name} {value or ''}", within_s=300)

    def ends(self) -> int:
        return self.process.wait(600)

    def assert_gone(self) -> None:
        eventually(lambda: not self.pids(), "every process is gone")
        eventually(lambda: not list(self.files.iterdir()), "every file is gone")


@contextmanager
def running(directory: Path, *arguments: str, bootstrap_servers: str | None = None) -> Iterator[CommandRun]:
    run = CommandRun(directory, *arguments, bootstrap_servers=bootstrap_servers)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        print(run.text)
