"""The Python peers' own environment: pinned, in the user's cache, apart from statelog's."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.peers.api import Unavailable
from operators.units import UNITS
from pipeline.broker.fetch import cache_directory

LOCK: Final = Path(__file__).with_name("requirements.lock")
_TAIL: Final = 5


def units_rows() -> str:
    """The unit registry for peers that are not written here: a line a spelling."""
    return "".join(
        f"{spelling}\t{each.unit}\t{each.shift!r}\t{each.multiplier!r}\t{each.divisor!r}\n"
        for spelling, each in UNITS.items()
    )


def units_table() -> Path:
    """The file that holds it."""
    path = cache_directory() / "benchmarks" / "units.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(units_rows(), encoding="utf-8")
    return path


@cache
def python() -> Path:
    """Its interpreter, installed unless it is there. Raises Unavailable where the registry does not give it."""
    root = cache_directory() / "benchmarks" / "python"
    interpreter = root / "bin" / "python"
    installed = root / "installed.lock"
    if installed.exists() and installed.read_bytes() == LOCK.read_bytes():
        return interpreter
    _run(sys.executable, "-m", "venv", "--clear", str(root))
    _run(str(interpreter), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK))
    installed.write_bytes(LOCK.read_bytes())
    return interpreter


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable("its packages cannot be installed: " + "\n".join(done.stderr.splitlines()[-_TAIL:]))
