"""Workers that verify beside each other in one data directory."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from pipeline.verify.worker_side import scratch_directory

WORKERS = 4
TIMES = 300


def test_workers_that_tidy_up_at_the_same_time_leave_each_others_directories_alone(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=come_and_go, args=(tmp_path,)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    assert list(tmp_path.iterdir()) == []


def come_and_go(data_dir: Path) -> None:
    for _ in range(TIMES):
        with scratch_directory(data_dir) as scratch:
            (scratch / "checkpoint").mkdir()
            assert (scratch / "checkpoint").is_dir()
