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
    """Its interpreter, installed unless it is there. Raises Unavailable where the registry does not give it.

    Made from the Python that runs this, and made anew for another: how a Python was built is a tenth of its speed.
    """
    root = cache_directory() / "benchmarks" / "python"
    interpreter = root / "bin" / "python"
    installed = root / "installed.txt"
    wanted = f"{Path(sys.executable).resolve()} {sys.version}\n{LOCK.read_text()}"
    if installed.exists() and installed.read_text() == wanted:
        return interpreter
    _run(sys.executable, "-m", "venv", "--clear", str(root))
    _run(str(interpreter), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK))
    installed.write_text(wanted)
    return interpreter


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable("its packages cannot be installed: " + "\n".join(done.stderr.splitlines()[-_TAIL:]))
