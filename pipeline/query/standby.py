"""Answers from a standby, for those who allow it, while the owner cannot answer.

`standby=true` on any question for rows: the owners are asked first; for a partition whose owner restores, is unknown,
or does not answer, a standby is, here or elsewhere. Its answer says so: `served_by` is `standby`, `worker` is who gave
it, and position and lag are the standby's own; a list says it of each partition. `standby=only` is how one worker asks
another for that.

A list goes on from the same `next` whoever answers for a partition: it is a place among the keys, and no server's.
Each page is of the moments that its own `meta` tells, so one from a standby may be older than the one before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response

from pipeline.client_id import ClientId
from pipeline.query.peers import Peers
from pipeline.query.problems import Problem
from pipeline.query.reads import RowReads
from pipeline.query.scatter import Scatter, Target, without
from pipeline.query.standby_reads import StandbyReads
from pipeline.query.wire import ROUTED_HEADER, RoutedPage
from pipeline.runtime.placement import standbys_of
from pipeline.runtime.view import WorkerView

MOST_ASKED = 3
"""Peers asked for a standby, in the order in which they would keep one."""
OWNER_CANNOT = frozenset(
    {"restoring", "stale", "no-owner", "not-owner", "rebalancing", "owner-unreachable", "group-unknown"}
)
_ANSWERED = frozenset({200, 404})

Read = Callable[[RowReads], Awaitable[Response]]
"""A question about one partition, to the stores that are to answer it."""


class Wish(StrEnum):
    """What a question says of standbys."""

    NONE = "false"
    MAY = "true"
    ONLY = "only"


class StandbyAnswers:
    def __init__(self, view: WorkerView, peers: Peers, scatter: Scatter) -> None:
        self._view = view
        self._peers = peers
        self._scatter = scatter

    def wish(self, request: Request, parameters: Mapping[str, str]) -> Wish:
        """Problem for a wish unknown, or that is for workers alone."""
        text = parameters.get("standby", Wish.NONE)
        if text not in set(Wish) or (text == Wish.ONLY and ROUTED_HEADER not in request.headers):
            raise Problem("bad-parameter", f"standby is true or false, not {text!r}")
        if text != Wish.NONE and "min_position" in parameters:
            raise Problem("bad-parameter", "min_position is answered by owners alone", hint="leave standby out")
        return Wish(text)

    async def reads(self) -> StandbyReads:
        """Those kept here, for one question."""
        return StandbyReads(self._view, await self._owners())

    async def answer(
        self, request: Request, wish: Wish, partition: int, ask_owner: Callable[[Read], Awaitable[Response]], read: Read
    ) -> Response:
        """The owner's answer, else a standby's, else why the owner has none."""
        if wish is Wish.ONLY:
            return await read(await self.reads())
        why: Problem | None = None
        try:
            owners = await ask_owner(read)
            if owners.status_code != 503 or ROUTED_HEADER in request.headers:
                return owners
        except Problem as problem:
            if problem.kind not in OWNER_CANNOT or ROUTED_HEADER in request.headers:
                raise
            why = problem
        found = await self._anywhere(request, partition, read)
        if found is not None:
            return found
        if why is not None:
            raise why
        return owners

    async def _anywhere(self, request: Request, partition: int, read: Read) -> Response | None:
        reads = await self.reads()
        try:
            return await read(reads)
        except Problem as problem:
            if problem.kind not in {"no-standby", "restoring", "too-stale"}:
                raise
        query = request.url.include_query_params(standby=Wish.ONLY).query
        target = f"{request.scope['raw_path'].decode('ascii')}?{query}"
        for worker in (await self._candidates([partition], reads))[partition]:
            try:
                answer = await self._peers.ask(worker, target)
            except Problem:
                continue
            if answer.status_code in _ANSWERED:
                return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))
        return None

    async def fill(
        self,
        pages: list[RoutedPage],
        local: Callable[[RowReads, Sequence[int]], Awaitable[RoutedPage]],
        target: Target,
    ) -> list[RoutedPage]:
        """The owners' pages, with those of standbys for partitions whose owner cannot answer.

        What no standby answers either stays unanswered, for the owner's reason.
        """
        lost = {one.partition for page in pages for one in page.unanswered if one.problem in OWNER_CANNOT}
        if not lost:
            return pages
        reads = await self.reads()
        found = [await local(reads, sorted(lost))]
        missing = lost - _told(found)
        candidates = await self._candidates(sorted(missing), reads)
        for choice in range(MOST_ASKED):
            asked: dict[ClientId, list[int]] = {}
            for partition in sorted(missing):
                for worker in candidates[partition][choice : choice + 1]:
                    asked.setdefault(worker, []).append(partition)
            found += await asyncio.gather(
                *(self._scatter.ask(worker, partitions, target(partitions)) for worker, partitions in asked.items())
            )
            missing -= _told(found)
        return without(pages, lost - missing) + without(found, lost)

    async def _candidates(self, partitions: Sequence[int], reads: StandbyReads) -> dict[int, list[ClientId]]:
        """By partition, other workers that may keep its standby, the first choice first; none if nobody knows any."""
        try:
            workers = {each.worker_id: each for each in await self._peers.workers()}
        except Problem:
            workers = {}
        workers.pop(self._view.worker_id, None)
        return {
            each: [workers[worker] for worker in standbys_of(each, reads.owners.get(each), workers, MOST_ASKED)]
            for each in partitions
        }

    async def _owners(self) -> Mapping[int, str]:
        """As the group says, if it says anything."""
        try:
            return {partition: owner.worker_id for partition, owner in (await self._peers.owners()).items()}
        except Problem:
            return {}


def _told(pages: Sequence[RoutedPage]) -> set[int]:
    """The partitions that answered."""
    return {meta.partition for page in pages for meta in page.meta}
