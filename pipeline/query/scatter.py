"""A list over all partitions: each owner gives the first rows of its own, and the one that was asked merges them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from pipeline.client_id import ClientId
from pipeline.query.key_text import parse_cursor
from pipeline.query.peers import Peers, changing_hands
from pipeline.query.problems import Problem
from pipeline.query.wire import Item, Meta, Page, ProblemDocument, RoutedItem, RoutedPage, Unanswered
from pipeline.runtime.view import PartitionState, WorkerView

WORTH_ANOTHER_TRY = frozenset({"not-owner", "rebalancing", "owner-unreachable", "no-owner"})
"""Problems that another look at the group may solve."""

LocalPage = Callable[[Sequence[int]], Awaitable[RoutedPage]]
"""The first rows of these partitions of this worker."""
Target = Callable[[Sequence[int]], str]
"""What to ask another worker for its first rows of these partitions."""


class Scatter:
    """Asks every partition once, and those whose owner denied or did not answer once more."""

    def __init__(self, view: WorkerView, peers: Peers) -> None:
        self._view = view
        self._peers = peers

    async def gather(self, local: LocalPage, target: Target) -> list[RoutedPage]:
        """Pages that together speak of every partition once: in `meta`, or in `unanswered`."""
        everything = range(self._peers.directory.partitions)
        pages = await self._round(everything, local, target)
        again = sorted(one.partition for page in pages for one in page.unanswered if one.problem in WORTH_ANOTHER_TRY)
        if not again:
            return pages
        self._peers.directory.doubt()
        return without(pages, again) + await self._round(again, local, target)

    async def _round(self, partitions: Sequence[int], local: LocalPage, target: Target) -> list[RoutedPage]:
        owners: Mapping[int, ClientId] = {}
        unknown: Problem | None = None
        try:
            owners = await self._peers.owners()
        except Problem as failed:
            unknown = failed
        here: list[int] = []
        there: dict[ClientId, list[int]] = {}
        lost: list[Unanswered] = []
        for partition in partitions:
            owner = owners.get(partition)
            elsewhere = owner is not None and owner.worker_id != self._view.worker_id
            state = self._view.state_of(partition)
            if state is not None and not (state is PartitionState.STALE and elsewhere):
                here.append(partition)
            elif owner is None:
                problem = unknown or Problem("no-owner", f"no worker owns partition {partition}")
                lost.append(Unanswered(partition, None, problem.kind, problem.detail))
            elif elsewhere:
                there.setdefault(owner, []).append(partition)
            else:
                lost.append(_unanswered(partition, owner, changing_hands(partition, owner)))
        asked = [self.ask(owner, held, target(held)) for owner, held in there.items()]
        pages = await asyncio.gather(*asked, *([local(here)] if here else []))
        return [*pages, RoutedPage([], False, [], lost)]

    async def ask(self, worker: ClientId, partitions: Sequence[int], target: str) -> RoutedPage:
        """What a worker gives of these partitions; all of them unanswered when it gives nothing."""
        try:
            answer = await self._peers.ask(worker, target)
            if answer.status_code == 200:
                return msgspec.json.decode(answer.content, type=RoutedPage)
            told = msgspec.json.decode(answer.content, type=ProblemDocument)
            problem = Problem("owner-unreachable", f"worker {worker.worker_id} cannot answer: {told.detail}")
        except msgspec.MsgspecError as error:
            problem = Problem("owner-unreachable", f"worker {worker.worker_id} answered with something else: {error}")
        except Problem as failed:
            problem = failed
        return RoutedPage([], False, [], [_unanswered(partition, worker, problem) for partition in partitions])


def _unanswered(partition: int, owner: ClientId, problem: Problem) -> Unanswered:
    return Unanswered(partition, owner.worker_id, problem.kind, problem.detail)


def without(pages: Iterable[RoutedPage], partitions: Collection[int]) -> list[RoutedPage]:
    """The pages, silent of what is unanswered of these partitions: somebody else speaks of them."""
    return [
        msgspec.structs.replace(page, unanswered=[one for one in page.unanswered if one.partition not in partitions])
        for page in pages
    ]


def merge(pages: Iterable[RoutedPage], limit: int, *, partial: bool) -> Page:
    """The first `limit` rows of all pages. Problem when a partition is missing, unless `partial`."""
    pages = list(pages)
    missing = sorted((one for page in pages for one in page.unanswered), key=lambda one: one.partition)
    if missing and not partial:
        reasons = dict.fromkeys(one.reason for one in missing)
        raise Problem(
            "incomplete",
            "; ".join(reasons),
            hint="ask again, or take what there is with partial=true",
            partitions=missing,
        )
    ordered = heapq.merge(*(page.items for page in pages), key=_place)
    items = list(islice(ordered, limit))
    more = any(page.more for page in pages) or next(ordered, None) is not None
    metas = [meta for page in pages for meta in page.meta]
    metas += [Meta(one.owner, one.partition, None, None, None, complete=False, reason=one.reason) for one in missing]
    return Page(
        [Item(item.key, item.value) for item in items],
        items[-1].cursor if items and more else None,
        sorted(metas, key=lambda meta: meta.partition),
    )


def _place(item: RoutedItem) -> tuple[bytes, int]:
    cursor = parse_cursor(item.cursor)
    return cursor.key, -1 if cursor.partition is None else cursor.partition
