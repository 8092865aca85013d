"""Quix Streams, exactly once: the Python library that is most like Kafka Streams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.peers import environment
from benchmarks.peers.api import Command, Job
from benchmarks.peers.plain_rows import found_in, readings_in
from benchmarks.peers.statelog import values
from benchmarks.reading import PARTITIONS, committed
from benchmarks.workloads import NORMALISE, Found, by_origin
from pipeline.log.api import Message

_STORE = "default"


class Quix:
    """Its state is of a key, so the greatest origin folded is in the device's row; final results are rows beside it."""

    name = "quix-streams"
    guarantee = "exactly once"
    share = 0.2
    passes = 1

    def prepare(self) -> None:
        environment.python()

    def command(self, jobs: Sequence[Job]) -> Command:
        (job,) = jobs
        outputs = self.outputs(job)
        job.source.admin.create_topics({topic: {} for topic in outputs}, PARTITIONS, 1)
        return Command(
            [
                str(environment.python()),
                "-m",
                "benchmarks.peers.quix_app",
                job.work.letter,
                job.servers,
                self.group(job),
                job.source.topic,
                job.source.topic_id,
                outputs[0] if outputs else "none",
                str(job.directory),
                str(environment.units_table()),
            ]
        )

    def group(self, job: Job) -> str:
        return job.name

    def outputs(self, job: Job) -> list[str]:
        return [job.output(topic) for topic in job.work.outputs]

    def changelogs(self, job: Job) -> list[str]:
        return [] if job.work is NORMALISE else [f"changelog__{job.name}--{job.source.topic}--{_STORE}"]

    def visible(self, job: Job) -> str:
        return (self.outputs(job) or self.changelogs(job))[0]

    def found(self, job: Job) -> Found:
        results: Iterator[Any] = (row for topic in self.outputs(job) for row in values(job, topic))
        if job.work is NORMALISE:
            return {"readings": by_origin(results)}
        rows: dict[str, Any] = {}
        kept: dict[bytes, Any] = {}
        partitions: dict[str, int] = {}
        for message in committed(job.source.log, self.changelogs(job)[0]):
            key, value = message.key() or b"", message.value()
            device, _, name = key.partition(b"|")
            if name == b'"row"':
                rows[json.loads(device)] = value
                partitions[json.loads(device)] = message.partition()
            elif value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
        documents = {name: json.loads(row) for name, row in rows.items()}
        return found_in(job.work, documents, results, [json.loads(row) for row in kept.values()], partitions)

    def readings_in(self, job: Job, row: Message) -> tuple[str, int]:
        device = json.loads((row.key() or b"").partition(b"|")[0])
        return device, readings_in(row.value())

    def remove(self, job: Job) -> None:
        job.source.admin.delete_topics([*self.outputs(job), *self.changelogs(job)])
