"""Kafka Streams, on the JVM of this machine, built by its Maven; cold and, in the same JVM once more, warm."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.peers import kafka_streams_rows as decoding
from benchmarks.peers.api import Command, Job, Unavailable
from benchmarks.peers.environment import units_table
from benchmarks.peers.statelog import by_device, values
from benchmarks.reading import PARTITIONS, committed, last_rows
from benchmarks.workloads import DEVICES, NORMALISE, STATISTICS, WINDOWS, Found, by_origin
from pipeline.broker.fetch import cache_directory
from pipeline.log.api import Message

PROJECT: Final = Path(__file__).parent / "kafka_streams"
THREADS: Final = 2
CACHE_BYTES: Final = 256 * 1024 * 1024
HEAP: Final = "2g"
_STORES: Final = {STATISTICS.letter: ["rows"], WINDOWS.letter: ["rows"], DEVICES.letter: ["rows", "results", "origins"]}


class KafkaStreams:
    """One application a pass, with two threads for the two cores."""

    share = 1.0
    passes = 2

    def __init__(self, name: str, guarantee: str, processing_guarantee: str, commit_ms: int) -> None:
        self.name = name
        self.guarantee = guarantee
        self._processing_guarantee = processing_guarantee
        self._commit_ms = commit_ms
        self._target = cache_directory() / "benchmarks" / "kafka-streams"

    def prepare(self) -> None:
        missing = [tool for tool in ("java", "javac", "mvn") if shutil.which(tool) is None]
        if missing:
            raise Unavailable(f"needs a JDK of 17 or newer and Maven; not found: {', '.join(missing)}")
        built = self._target / "benchmark.jar"
        sources = [PROJECT / "pom.xml", *PROJECT.rglob("*.java")]
        if not built.exists() or built.stat().st_mtime < max(source.stat().st_mtime for source in sources):
            self._build()

    def _build(self) -> None:
        self._target.mkdir(parents=True, exist_ok=True)
        command = ["mvn", "--quiet", "--batch-mode", f"-Dtarget={self._target}", "package"]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable("Maven could not build it:\n" + "\n".join((done.stdout + done.stderr).splitlines()[-20:]))

    def command(self, jobs: Sequence[Job]) -> Command:
        passes: list[str] = []
        for job in jobs:
            output = self.outputs(job)
            job.source.admin.create_topics({topic: {} for topic in output}, PARTITIONS, 1)
            passes += [
                job.name,
                job.source.topic,
                job.source.topic_id,
                output[0] if output else "none",
                str(job.directory),
            ]
        work = jobs[0].work.letter
        return Command(
            [
                "java",
                f"-Xms{HEAP}",
                f"-Xmx{HEAP}",
                "-XX:+UseParallelGC",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-cp",
                os.pathsep.join([str(self._target / "benchmark.jar"), str(self._target / "lib" / "*")]),
                "statelog.benchmark.Main",
                jobs[0].servers,
                work,
                self._processing_guarantee,
                str(self._commit_ms),
                str(THREADS),
                str(CACHE_BYTES),
                str(units_table()),
                *passes,
            ]
        )

    def group(self, job: Job) -> str:
        return job.name

    def outputs(self, job: Job) -> list[str]:
        return [job.output(topic) for topic in job.work.outputs]

    def changelogs(self, job: Job) -> list[str]:
        return [self._changelog(job, store) for store in _STORES.get(job.work.letter, [])]

    def _changelog(self, job: Job, store: str) -> str:
        return f"{job.name}-{store}-changelog"

    def visible(self, job: Job) -> str:
        return (self.outputs(job) or self.changelogs(job))[0]

    def found(self, job: Job) -> Found:
        if job.work is NORMALISE:
            return {"readings": by_origin(values(job, self.outputs(job)[0]))}
        rows = {key.decode(): row for key, row in last_rows(job.source.log, self._changelog(job, "rows")).items()}
        if job.work is STATISTICS:
            return {"devices": {name: decoding.statistics(row) for name, row in rows.items()}}
        results = by_device(values(job, self.outputs(job)[0]))
        if job.work is WINDOWS:
            both = {name: decoding.windows(name, row) for name, row in rows.items()}
            return {
                "results": results,
                "late": {name: late for name, (late, _) in both.items()},
                "open windows": {name: still_open for name, (_, still_open) in both.items()},
            }
        devices = {name: decoding.device(name, row) for name, row in rows.items()}
        kept = last_rows(job.source.log, self._changelog(job, "results"))
        return {
            "devices": {name: state for name, (state, _) in devices.items()},
            "results": results,
            "rows": by_device(
                sorted(
                    (decoding.result(key, row) for key, row in kept.items()),
                    key=lambda row: (row["metric"], row["window_start"]),
                )
            ),
            "open windows": {name: still_open for name, (_, still_open) in devices.items()},
            "origins": self._origins(job),
        }

    def _origins(self, job: Job) -> dict[tuple[int, str, int], int]:
        found = {}
        for message in committed(job.source.log, self._changelog(job, "origins")):
            topic_id, _, partition = (message.key() or b"").decode().rpartition("/")
            found[message.partition(), topic_id, int(partition)] = int.from_bytes(message.value() or b"", "big")
        return found

    def readings_in(self, job: Job, row: Message) -> tuple[str, int]:
        return (row.key() or b"").decode(), decoding.statistics(row.value() or b"")["readings"]

    def remove(self, job: Job) -> None:
        job.source.admin.delete_topics([*self.outputs(job), *self.changelogs(job)])
