"""Several workers of one stage, each a process with a directory of its own, told and ended as one.

python -m benchmarks.peers.statelog_workers STAGE WORKERS
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support.reaper import ends_with_us

_LOOK_S = 0.05


def main(stage: str, workers: int) -> int:
    directory = Path(os.environ["STATELOG_DATA_DIR"])
    processes = [_start(stage, directory / str(number)) for number in range(workers)]
    signal.signal(signal.SIGTERM, lambda *_: _end(processes))
    began = threading.Event()
    listeners = [threading.Thread(target=_tell_once, args=(process, began), daemon=True) for process in processes]
    for listener in listeners:
        listener.start()
    while all(process.poll() is None for process in processes):
        time.sleep(_LOOK_S)
    _end(processes)  # one without the others would be another measurement
    return max(abs(process.wait()) for process in processes)


def _start(stage: str, directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers.statelog_worker", stage],
        env={**os.environ, "STATELOG_DATA_DIR": str(directory)},
        stdout=subprocess.PIPE,
        text=True,
    )
    ends_with_us(process)
    return process


def _tell_once(process: subprocess.Popen[str], began: threading.Event) -> None:
    """They begin within the same moment; the first of them counts."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "began" and not began.is_set():
            began.set()
            print("began", flush=True)


def _end(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
