"""`/v1/skew`: which keys are hot in this worker's partitions; with `all=true`, in those of every worker.

Keys tell who sends, so that whoever asks needs the right to read them: all of them, or those with a `prefix`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from operators.topology import AggregateStage
from pipeline.client_id import ClientId
from pipeline.query.key_text import Cursor
from pipeline.query.parameters import boolean_of, limit_of, single_parameters
from pipeline.query.peers import Peers
from pipeline.query.problems import Problem
from pipeline.query.wire import SKEW_PATH, HotKeyRow, ProblemDocument, SilentWorker, SkewReport, SkewRow, encode
from pipeline.runtime.view import WorkerView


class SkewRoutes:
    def __init__(self, view: WorkerView, peers: Peers) -> None:
        self._view = view
        self._peers = peers

    async def skew(self, request: Request) -> Response:
        parameters = single_parameters(request, ["all", "prefix", "limit"])
        limit = limit_of(parameters)
        report = SkewReport(self._own(limit, unquote_to_bytes(parameters.get("prefix", ""))))
        if boolean_of(parameters, "all"):
            target = f"{SKEW_PATH}?{request.url.remove_query_params('all').query}"
            others = [each for each in await self._peers.workers() if each.worker_id != self._view.worker_id]
            report = _together([report, *await asyncio.gather(*(self._ask(each, target) for each in others))])
        return Response(encode(report), media_type="application/json")

    def _own(self, limit: int, prefix: bytes) -> list[SkewRow]:
        stage = self._view.stage
        return [
            SkewRow(
                stage=stage.name,
                partition=partition,
                owner=self._view.worker_id,
                seconds=recent.seconds,
                records=recent.records,
                looked_at=recent.looked_at,
                unnamed=recent.unnamed,
                keys=[HotKeyRow(shown(stage, each.key), each.times, each.over) for each in recent.keys],
            )
            for partition, recent in sorted(self._view.recent(limit, prefix).items())
        ]

    async def _ask(self, worker: ClientId, target: str) -> SkewReport:
        """A worker's own report, or why there is none."""
        try:
            answer = await self._peers.ask(worker, target)
            if answer.status_code == 200:
                return msgspec.json.decode(answer.content, type=SkewReport)
            reason = msgspec.json.decode(answer.content, type=ProblemDocument).detail
        except Problem as problem:
            reason = problem.detail
        except msgspec.MsgspecError as error:
            reason = f"worker {worker.worker_id} answered with something else: {error}"
        return SkewReport([], [SilentWorker(worker.worker_id, reason)])


def _together(reports: Iterable[SkewReport]) -> SkewReport:
    """One row a partition: of two workers that speak of it, as while it moves, what the one says that has seen more."""
    believed: dict[int, SkewRow] = {}
    silent: list[SilentWorker] = []
    for report in reports:
        silent += report.silent
        for row in report.partitions:
            if row.partition not in believed or row.records > believed[row.partition].records:
                believed[row.partition] = row
    return SkewReport([believed[each] for each in sorted(believed)], sorted(silent, key=lambda each: each.owner))


def shown(stage: AggregateStage, key: bytes) -> str:
    """The key of a source record as the stage's tables show it; any bytes that they cannot show, with %XX."""
    for table in stage.tables:
        if table.select is None and not table.local:
            try:
                return table.key.show(key)
            except ValueError:
                break
    return str(Cursor(key, None))
