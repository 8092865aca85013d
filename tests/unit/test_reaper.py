"""That what tests start does not outlive them, tested on a process that is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
STARTS_TWO = """
import subprocess, time
from tests.support.reaper import ends_with_us
for seconds in ("0", "600"):
    child = subprocess.Popen(["sleep", seconds])
    ends_with_us(child)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds processes by descriptors")
def test_what_was_started_ends_with_the_process_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS_TWO], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            status = Path(f"/proc/{int(parent.stdout.readline())}/status")
            # Its parent goes on as soon as the new program's files are closed, a moment before it has its new name.
            eventually(lambda: "sleep" in status.read_text(), "the child runs")
        finally:
            parent.kill()
    eventually(lambda: not status.exists() or "zombie" in status.read_text(), "the child is gone")
