"""Consumers that only count, several side by side: what the broker can feed them.

    python -m benchmarks.consumers SERVERS TOPIC RECORDS PARTITION…

is one of them: connected, it says `ready`; given a line, it reads its partitions, and says `done` after so many
records.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.dataset import Source
from benchmarks.measure import Figures, Ground
from benchmarks.peers.api import Command
from benchmarks.process import PeerProcess
from benchmarks.reading import count
from pipeline.log.api import TopicPartition
from pipeline.log.kafka import connect
from pipeline.runtime.collector import quiet_collector
from pipeline.settings import Settings

_PATIENCE_S = 300.0


def ceiling(source: Source, consumers: int, ground: Ground) -> Figures:
    """The partitions are dealt out; the time is from the common start to the end of the last."""
    ends = source.ends()
    with tempfile.TemporaryDirectory(prefix="statelog-bench-") as directory, ExitStack() as stack:
        processes = []
        for number in range(consumers):
            mine = sorted(each.partition for each in ends if each.partition % consumers == number)
            records = sum(ends[TopicPartition(source.topic, each)] for each in mine)
            arguments = [ground.servers, source.topic, str(records), *map(str, mine)]
            command = Command([sys.executable, "-m", __name__, *arguments])
            process = PeerProcess(command, Path(directory) / str(number), ground.broker_pid)
            processes.append(stack.enter_context(process))
        for process in processes:
            process.says("ready", _PATIENCE_S)
        began = [process.moment() for process in processes]
        for process in processes:
            process.next()
        done = [process.says("done", _PATIENCE_S) for process in processes]
        last = max(done, key=lambda moment: moment.at)
        broker = None
        if last.broker_cpu_s is not None and began[0].broker_cpu_s is not None:
            broker = last.broker_cpu_s - began[0].broker_cpu_s
        return Figures(
            records=sum(ends.values()),
            seconds=last.at - began[0].at,
            cpu_s=sum(end.cpu_s - start.cpu_s for start, end in zip(began, done, strict=True)),
            broker_cpu_s=broker,
            peak_rss_mb=max(process.peak_rss_mb() for process in processes),
            changelog_bytes=None,
            output_bytes=None,
        )


def main(servers: str, topic: str, expected: int, partitions: list[int]) -> None:
    reader = connect(Settings(bootstrap_servers=servers)).reader()
    quiet_collector()
    print("ready", flush=True)
    sys.stdin.readline()
    reader.assign({TopicPartition(topic, each): 0 for each in partitions})
    count(reader, expected)
    print("done", flush=True)
    sys.stdin.readline()
    reader.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), [int(each) for each in sys.argv[4:]])
