"""statelog itself: workers with the settings they have by default."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from benchmarks import topologies
from benchmarks.peers.api import Command, Job
from benchmarks.reading import committed, last_rows
from benchmarks.workloads import DEVICES, NORMALISE, STATISTICS, WINDOWS, Found, by_origin
from operators.device import DEVICE_STATE, DEVICE_WINDOWS, ORIGINS
from operators.keys import split_origin_key
from operators.topology import Stage, TableSpec, Topology
from pipeline.log.api import Message
from pipeline.runtime.identity import group_of
from pipeline.runtime.start import load_topology
from pipeline.settings import Settings
from pipeline.state.envelope import unseal
from pipeline.topics import TopicPlan

_IOT = "operators.iot:topology"
_TOPOLOGIES = {
    NORMALISE.letter: _IOT,
    STATISTICS.letter: f"{topologies.__name__}:STATISTICS",
    WINDOWS.letter: f"{topologies.__name__}:WINDOWS",
    DEVICES.letter: _IOT,
}


class Statelog:
    """A fresh directory and fresh topics each time; only the source is there already, under the same prefix."""

    guarantee = "exactly once"
    share = 1.0
    passes = 1

    def __init__(
        self, name: str = "statelog", workers: int = 1, settings: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.name = name
        self._workers = workers
        self._settings = settings

    def prepare(self) -> None:
        """It is here."""

    def command(self, jobs: Sequence[Job]) -> Command:
        (job,) = jobs
        settings = {
            "bootstrap_servers": job.servers,
            "prefix": job.source.prefix,
            "topology": _TOPOLOGIES[job.work.letter],
            "data_dir": job.directory,
            "log_level": "warning",
            **self._settings,
        }
        self._plan(job).create(job.source.admin, job.source.partitions, 1)
        environment = {f"STATELOG_{name.upper()}": str(value) for name, value in settings.items()}
        stage = self._stage(job).name
        if self._workers == 1:
            return Command([sys.executable, "-m", "benchmarks.peers.statelog_worker", stage], environment)
        together = [sys.executable, "-m", "benchmarks.peers.statelog_workers", stage, str(self._workers)]
        return Command(together, environment)

    def _topology(self, job: Job) -> Topology:
        return load_topology(Settings(topology=_TOPOLOGIES[job.work.letter]))

    def _stage(self, job: Job) -> Stage:
        stages = self._topology(job).stages
        return stages[0] if job.work is NORMALISE else stages[-1]

    def _plan(self, job: Job) -> TopicPlan:
        return TopicPlan(self._topology(job), job.source.prefix)

    def group(self, job: Job) -> str:
        return group_of(job.source.prefix, self._stage(job))

    def outputs(self, job: Job) -> list[str]:
        return [job.source.prefix + topic for topic in job.work.outputs]

    def changelogs(self, job: Job) -> list[str]:
        if job.work is NORMALISE:
            return []
        return [job.source.prefix + topic for topic in self._topology(job).changelogs]

    def visible(self, job: Job) -> str:
        return (self.outputs(job) or self.changelogs(job))[0]

    def found(self, job: Job) -> Found:
        if job.work is NORMALISE:
            return {"readings": by_origin(values(job, self.outputs(job)[0]))}
        if job.work is STATISTICS:
            rows = dict(self._rows(job, topologies.TABLE))
            return {"devices": rows}
        results = by_device(values(job, self.outputs(job)[0]))
        if job.work is WINDOWS:
            rows = dict(self._rows(job, topologies.TABLE))
            return {
                "results": results,
                "open windows": {name: row["open"] for name, row in rows.items()},
                "late": {name: row["late"] for name, row in rows.items()},
            }
        rows_of_windows = sorted(
            (row for _, row in self._rows(job, DEVICE_WINDOWS)), key=lambda row: (row["metric"], row["window_start"])
        )
        open_windows = {
            name: sorted(rows, key=lambda row: (row["metric"], row["window_start"]))
            for name, rows in self._rows(job, DEVICE_STATE, view="open-windows")
        }
        return {
            "devices": dict(self._rows(job, DEVICE_STATE)),
            "results": results,
            "rows": by_device(rows_of_windows),
            "open windows": open_windows,
            "origins": self._origins(job),
        }

    def _rows(self, job: Job, name: str, view: str | None = None) -> list[tuple[str, Any]]:
        """A table by its changelog, as `statelog scan` shows it."""
        _, table = self._topology(job).table(name)
        show = table.views[view] if view else table.show
        rows = last_rows(job.source.log, job.source.prefix + table.changelog)
        return [(table.key.show(key), show(key, table.value.decode(unseal(value)))) for key, value in rows.items()]

    def _origins(self, job: Job) -> dict[tuple[int, str, int], int]:
        table: TableSpec[int] = self._topology(job).table(ORIGINS)[1]
        found = {}
        for message in committed(job.source.log, job.source.prefix + table.changelog):
            found[(message.partition(), *split_origin_key(message.key() or b""))] = table.value.decode(
                unseal(message.value() or b"")
            )
        return found

    def readings_in(self, job: Job, row: Message) -> tuple[str, int]:
        key, table = row.key() or b"", self._topology(job).table(topologies.TABLE)[1]
        return key.decode(), table.show(key, table.value.decode(unseal(row.value() or b"")))["readings"]

    def remove(self, job: Job) -> None:
        made = set(self._plan(job).configs) - {job.source.topic}
        job.source.admin.delete_topics(sorted(made))
        job.source.admin.delete_group(self.group(job))


def values(job: Job, topic: str) -> Any:
    """The JSON of all that is in a topic."""
    for message in committed(job.source.log, topic):
        yield json.loads(message.value() or b"null")


def by_device(results: Any) -> dict[str, list[dict[str, Any]]]:
    """In the order in which they come."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        found[result["device_id"]].append(result)
    return dict(found)
