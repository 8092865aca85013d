"""Faust, at least once as it is by default, with tables on rocksdict, as its users write it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.peers import environment
from benchmarks.peers.api import Command, Job
from benchmarks.peers.plain_rows import found_in, readings_in
from benchmarks.peers.statelog import values
from benchmarks.reading import PARTITIONS, committed, last_rows
from benchmarks.workloads import DEVICES, NORMALISE, Found, by_origin
from pipeline.log.api import Message


class Faust:
    """Its changelog producer is slow, so that it gets few records; not the host in `pipeline.faust_host`."""

    name = "faust"
    guarantee = "at least once"
    share = 0.05
    passes = 1

    def prepare(self) -> None:
        environment.python()

    def command(self, jobs: Sequence[Job]) -> Command:
        (job,) = jobs
        outputs = self.outputs(job)
        changelogs = {topic: {"cleanup.policy": "compact"} for topic in self.changelogs(job)}
        job.source.admin.create_topics({**{topic: {} for topic in outputs}, **changelogs}, PARTITIONS, 1)
        given = {
            "WORK": job.work.letter,
            "SERVERS": job.servers,
            "GROUP": self.group(job),
            "SOURCE": job.source.topic,
            "SOURCE_ID": job.source.topic_id,
            "OUTPUT": outputs[0] if outputs else "none",
            "UNITS": str(environment.units_table()),
        }
        arguments = [str(environment.python()), "-m", "faust", "-A", "benchmarks.peers.faust_app"]
        arguments += ["--datadir", str(job.directory), "worker", "-l", "warn", "--without-web"]
        return Command(arguments, {f"BENCHMARK_{name}": value for name, value in given.items()})

    def group(self, job: Job) -> str:
        return job.name

    def outputs(self, job: Job) -> list[str]:
        return [job.output(topic) for topic in job.work.outputs]

    def changelogs(self, job: Job) -> list[str]:
        tables = [] if job.work is NORMALISE else ["rows", "results"] if job.work is DEVICES else ["rows"]
        return [f"{job.name}-{table}-changelog" for table in tables]

    def visible(self, job: Job) -> str:
        return (self.outputs(job) or self.changelogs(job))[0]

    def found(self, job: Job) -> Found:
        results = [row for topic in self.outputs(job) for row in values(job, topic)]
        if job.work is NORMALISE:
            return {"readings": by_origin(iter(results))}
        rows: dict[str, Any] = {}
        partitions: dict[str, int] = {}
        for message in committed(job.source.log, self.changelogs(job)[0]):
            device = (message.key() or b"").decode()
            rows[device] = message.value()
            partitions[device] = message.partition()
        documents = {name: json.loads(row) for name, row in rows.items()}
        kept = [json.loads(row) for row in last_rows(job.source.log, self.changelogs(job)[-1]).values()]
        return found_in(job.work, documents, results, kept, partitions)

    def readings_in(self, job: Job, row: Message) -> tuple[str, int]:
        return (row.key() or b"").decode(), readings_in(row.value())

    def remove(self, job: Job) -> None:
        job.source.admin.delete_topics([*self.outputs(job), *self.changelogs(job)])
