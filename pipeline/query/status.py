"""`/v1/status`: what this worker does with its partitions; with `all=true`, what every worker does with every one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.client_id import ClientId
from pipeline.query.parameters import boolean_of, single_parameters
from pipeline.query.peers import Peers
from pipeline.query.problems import Problem
from pipeline.query.wire import STATUS_PATH, PartitionRow, StandbyRow, StatusReport, encode
from pipeline.runtime.view import PartitionState, WorkerView

UNASSIGNED = "unassigned"
UNREACHABLE = "unreachable"

_CREDIBILITY = [PartitionState.ACTIVE, PartitionState.RESTORING, PartitionState.STALE, UNREACHABLE, UNASSIGNED]
"""When two workers speak of one partition, as after a long pause of one, the first of these states is believed."""


class StatusRoutes:
    def __init__(self, view: WorkerView, peers: Peers) -> None:
        self._view = view
        self._peers = peers

    async def status(self, request: Request) -> Response:
        parameters = single_parameters(request, ["all"])
        report = self._own()
        if boolean_of(parameters, "all"):
            others = [each for each in await self._peers.workers() if each.worker_id != self._view.worker_id]
            reports = [report, *await asyncio.gather(*map(self._ask, others))]
            rows = whole_group(
                self._view.stage.name,
                self._peers.directory.partitions,
                [row for each in reports for row in each.partitions],
                [row for each in reports for row in each.standbys],
            )
            report = StatusReport(rows)
        return Response(encode(report), media_type="application/json")

    def _own(self) -> StatusReport:
        standbys = [
            StandbyRow(
                partition=status.partition,
                worker=self._view.worker_id,
                restoring=status.restoring,
                position=status.position,
                end=status.end if status.end >= 0 else None,
                folded=status.folded,
            )
            for status in self._view.standbys()
        ]
        return StatusReport(self._partitions(), standbys)

    def _partitions(self) -> list[PartitionRow]:
        return [
            PartitionRow(
                stage=self._view.stage.name,
                partition=status.partition,
                owner=self._view.worker_id,
                state=status.state,
                position=status.position,
                end=status.end if status.end >= 0 else None,
                rate=status.rate,
                eta_s=status.eta_s,
            )
            for status in sorted(self._view.partitions(), key=lambda status: status.partition)
        ]

    async def _ask(self, worker: ClientId) -> StatusReport:
        """A worker's own report; when it does not come, its partitions as unreachable."""
        try:
            answer = await self._peers.ask(worker, STATUS_PATH)
            if answer.status_code == 200:
                return msgspec.json.decode(answer.content, type=StatusReport)
        except (Problem, msgspec.MsgspecError):
            self._peers.directory.doubt()
        owners = await self._peers.owners()
        stage = self._view.stage.name
        return StatusReport(
            [silent(stage, partition, worker.worker_id) for partition, owner in owners.items() if owner == worker]
        )


def silent(stage: str, partition: int, owner: str | None) -> PartitionRow:
    """A partition of which no worker speaks: its owner does not answer, or it has none."""
    return PartitionRow(stage, partition, owner, UNREACHABLE if owner else UNASSIGNED, None, None, None, None)


def whole_group(
    stage: str, partitions: int, rows: Iterable[PartitionRow], standbys: Sequence[StandbyRow] = ()
) -> list[PartitionRow]:
    """One row a partition, the most credible, with its standbys; `unassigned` for those nobody speaks of."""
    believed = {partition: silent(stage, partition, None) for partition in range(partitions)}
    for row in rows:
        if _CREDIBILITY.index(row.state) < _CREDIBILITY.index(believed[row.partition].state):
            believed[row.partition] = row
    kept: dict[int, list[StandbyRow]] = {partition: [] for partition in believed}
    for standby in standbys:
        kept[standby.partition].append(standby)
    return [msgspec.structs.replace(believed[each], standbys=kept[each]) for each in sorted(believed)]
