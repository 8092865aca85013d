"""How fast an aggregate worker of the shipped topology is back that has lost its disk.

    python -m benchmarks.restore [--records N] [--devices N] [--rounds N]

Folds so many readings once, and checks the result; then each round restores the stores from their changelogs. Takes the
Kafka of STATELOG_BOOTSTRAP_SERVERS, else an embedded one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.dataset import Dataset
from benchmarks.measure import Ground, jobs_of
from benchmarks.peers.statelog import Statelog
from benchmarks.process import ROOT, PeerProcess
from benchmarks.reading import GroupWatch
from benchmarks.streams import Stream
from benchmarks.suite import ground
from benchmarks.workloads import DEVICES, Checker


def restored(where: Ground, stream: Stream, rounds: int) -> list[dict[str, Any]]:
    """The figures of each round, in changelog records."""
    dataset, peer = Dataset(where.servers, stream), Statelog()
    try:
        with jobs_of(peer, DEVICES, [dataset.readings]) as (job,):
            command = peer.command([job])
            watch = GroupWatch(where.servers, peer.group(job), job.source.ends())
            with PeerProcess(command, job.directory.parent / "log", None) as process:
                process.until(lambda: watch.left() <= 0, "all is folded", 60 + stream.records / 1_000)
                process.stop()
            watch.close()
            differences = Checker(dataset).differences(DEVICES, peer.found(job))
            assert not differences, differences
            found = []
            for _ in range(rounds):
                shutil.rmtree(job.directory)
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.restore_worker"],
                    cwd=ROOT,
                    env={**os.environ, **command.environment},
                    stdout=subprocess.PIPE,
                    check=True,
                )
                found.append(json.loads(done.stdout))
            return found
    finally:
        dataset.remove()


def main(command: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(command)
    with ground() as where:
        runs = restored(where, Stream(arguments.devices, "uniform", arguments.records), arguments.rounds)
    rates = [run["records"] / run["seconds"] for run in runs]
    cpu = statistics.median(run["cpu_s"] / run["records"] * 1e6 for run in runs)
    print(
        f"{runs[0]['records']:,} changelog records of {arguments.devices:,} devices: "
        f"{statistics.median(rates):,.0f}/s ({min(rates):,.0f} to {max(rates):,.0f}), {cpu:.2f} CPU s a million, "
        f"peak RSS {max(run['peak_rss_mb'] for run in runs):,.0f} MB"
    )


if __name__ == "__main__":
    main()
