"""Point reads from a standby, for those who allow it, while the owner cannot answer.

`standby=true` on a look-up: the owner is asked first; where it restores, is unknown, or does not answer, a standby is,
here or elsewhere. Its answer says so: `served_by` is `standby`, `worker` is who gave it, and position and lag are the
standby's own. `standby=only` is how one worker asks another for that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from operators.topology import TableSpec
from pipeline.query.parameters import single_parameters
from pipeline.query.peers import Peers
from pipeline.query.problems import Problem
from pipeline.query.reads import Reads, show_of
from pipeline.query.wire import ROUTED_HEADER, Row, encode
from pipeline.runtime.placement import standbys_of
from pipeline.runtime.view import WorkerView

MOST_ASKED = 3
"""Peers asked for a standby, in the order in which they would keep one."""
OWNER_CANNOT = frozenset({"restoring", "stale", "no-owner", "rebalancing", "owner-unreachable", "group-unknown"})
_WISHES = frozenset({"true", "false", "only"})
_ANSWERED = frozenset({200, 404})


class StandbyAnswers:
    def __init__(self, view: WorkerView, peers: Peers, reads: Reads) -> None:
        self._view = view
        self._peers = peers
        self._reads = reads

    def wish(self, request: Request) -> str | None:
        """What the question says of standbys; None for one that does not want any. Problem for a wish unknown."""
        wish = single_parameters(request, ["view", "standby"]).get("standby", "false")
        if wish not in _WISHES:
            raise Problem("bad-parameter", f"standby is true or false, not {wish!r}")
        return None if wish == "false" else wish

    async def answer(
        self,
        request: Request,
        wish: str,
        ask_owner: Callable[[], Awaitable[Response]],
        spec: TableSpec[Any],
        partition: int,
        key: bytes,
    ) -> Response:
        """The owner's answer, else a standby's, else why the owner has none."""
        if wish == "only":
            return await self._here(request, spec, partition, key)
        why: Problem | None = None
        try:
            owners = await ask_owner()
            if owners.status_code != 503 or ROUTED_HEADER in request.headers:
                return owners
        except Problem as problem:
            if problem.kind not in OWNER_CANNOT or ROUTED_HEADER in request.headers:
                raise
            why = problem
        found = await self._anywhere(request, spec, partition, key)
        if found is not None:
            return found
        if why is not None:
            raise why
        return owners

    async def _anywhere(self, request: Request, spec: TableSpec[Any], partition: int, key: bytes) -> Response | None:
        try:
            return await self._here(request, spec, partition, key)
        except Problem as problem:
            if problem.kind not in {"no-standby", "restoring"}:
                raise
        owner = await self._owner(partition)
        try:
            workers = {each.worker_id: each for each in await self._peers.workers()}
        except Problem:
            return None
        workers.pop(self._view.worker_id, None)
        target = f"{request.scope['raw_path'].decode('ascii')}?{request.url.include_query_params(standby='only').query}"
        for worker_id in standbys_of(partition, owner, workers, MOST_ASKED):
            try:
                answer = await self._peers.ask(workers[worker_id], target)
            except Problem:
                continue
            if answer.status_code in _ANSWERED:
                return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))
        return None

    async def _here(self, request: Request, spec: TableSpec[Any], partition: int, key: bytes) -> Response:
        show = show_of(spec, single_parameters(request, ["view", "standby"]).get("view"))
        owner = await self._owner(partition)
        value, meta = self._reads.standby_row(spec, partition, key, show, owner)
        if value is None:
            raise Problem("no-such-row", f"{spec.name} has no row {spec.key.show(key)}", meta=meta)
        return Response(encode(Row(spec.key.show(key), value, meta)), media_type="application/json")

    async def _owner(self, partition: int) -> str | None:
        """As the group says, if it says anything."""
        try:
            owner = (await self._peers.owners()).get(partition)
        except Problem:
            return None
        return None if owner is None else owner.worker_id
