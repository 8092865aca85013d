"""The other workers of the group: who they are, and questions passed on to them, one hop at most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from pipeline.client_id import ClientId
from pipeline.errors import PipelineError
from pipeline.query.directory import Directory
from pipeline.query.outgoing import Outgoing
from pipeline.query.problems import Problem
from pipeline.query.waiting import timeout_for
from pipeline.query.wire import ROUTED_HEADER
from pipeline.runtime.view import WorkerView

Told = TypeVar("Told")

TIMEOUT = httpx.Timeout(5.0, connect=1.0)
STREAM_TIMEOUT = httpx.Timeout(30.0, connect=1.0)
"""Of silence: a stream says something every ten seconds."""


class Peers:
    """Used on the server's event loop only."""

    def __init__(self, view: WorkerView, directory: Directory, outgoing: Outgoing) -> None:
        self.directory = directory
        self._view = view
        self._outgoing = outgoing
        self._http = outgoing.client_for_others(TIMEOUT)

    async def close(self) -> None:
        await self._http.aclose()

    async def owners(self) -> Mapping[int, ClientId]:
        """Problem when the cluster does not say."""
        return await self._told(self.directory.owners)

    async def _told(self, ask: Callable[[], Told]) -> Told:
        try:
            if self.directory.fresh():
                return ask()
            return await to_thread.run_sync(ask)
        except PipelineError as error:
            raise Problem("group-unknown", str(error), hint=error.hint) from error

    async def workers(self) -> list[ClientId]:
        """Every worker of the group; Problem when the cluster does not say."""
        return await self._told(self.directory.workers)

    async def misdirected(self, partition: int) -> Problem:
        """What a worker says to a routed question about a partition that it does not hold."""
        try:
            owner = (await self.owners()).get(partition)
        except Problem:
            owner = None
        return Problem(
            "not-owner",
            f"worker {self._view.worker_id} does not hold partition {partition}",
            partition=partition,
            owner=None if owner is None else owner.worker_id,
            address=None if owner is None else owner.address,
        )

    async def pass_on(self, request: Request, partition: int, wait_ms: int | None = None) -> Response:
        """The owner's answer to this request, whatever it says; Problem when there is no owner that answers.

        `wait_ms` is what a question that waits has left.
        """
        target = request.scope["raw_path"].decode("ascii")
        query = request.scope["query_string"].decode("ascii")
        if wait_ms is not None:
            query = request.url.include_query_params(wait_ms=wait_ms).query
        target = f"{target}?{query}" if query else target
        try:
            answer = await self._ask_owner(request.method, partition, target)
        except Problem:
            # Once more, by what the cluster says now: an owner that denied or died may have a successor.
            self.directory.doubt()
            answer = await self._ask_owner(request.method, partition, target)
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    async def open_stream(self, request: Request, partition: int) -> httpx.Response:
        """The owner's answer whose body is still to come: read it and close it. Problem when there is none."""
        target = request.scope["raw_path"].decode("ascii") + "?" + request.scope["query_string"].decode("ascii")
        place = {name: value for name, value in request.headers.items() if name == "last-event-id"}
        answer = await self._send(await self._owner(partition), "GET", target, STREAM_TIMEOUT, place, stream=True)
        if answer.status_code != httpx.codes.OK:
            await answer.aread()
        if answer.status_code == 421:
            self.directory.doubt()
        return answer

    async def _ask_owner(self, method: str, partition: int, target: str) -> httpx.Response:
        owner = await self._owner(partition)
        answer = await self.ask(owner, target, method=method)
        if answer.status_code == 421:
            raise changing_hands(partition, owner)
        return answer

    async def _owner(self, partition: int) -> ClientId:
        """Another worker than this one; Problem when the group names none."""
        owner = (await self.owners()).get(partition)
        if owner is None:
            raise Problem("no-owner", f"no worker owns partition {partition}", partition=partition)
        if owner.worker_id == self._view.worker_id:
            raise changing_hands(partition, owner)
        return owner

    async def ask(self, worker: ClientId, target: str, *, method: str = "GET") -> httpx.Response:
        """Any answer of that worker; Problem when there is none."""
        return await self._send(worker, method, target, timeout_for(target, TIMEOUT))

    async def _send(
        self,
        worker: ClientId,
        method: str,
        target: str,
        timeout: httpx.Timeout,
        headers: Mapping[str, str] | None = None,
        *,
        stream: bool = False,
    ) -> httpx.Response:
        if worker.address is None:
            raise Problem("owner-unreachable", f"worker {worker.worker_id} serves no HTTP", owner=worker.worker_id)
        routed = {ROUTED_HEADER: f"{self._view.worker_id};{self._view.generation}", **(headers or {})}
        try:
            asked = self._http.build_request(
                method, self._outgoing.url(worker.address, target), headers=routed, timeout=timeout
            )
            return await self._http.send(asked, stream=stream)
        except httpx.HTTPError as error:
            detail = f"worker {worker.worker_id} at {worker.address} does not answer: {type(error).__name__}"
            raise Problem("owner-unreachable", detail, owner=worker.worker_id, address=worker.address) from error


def changing_hands(partition: int, owner: ClientId) -> Problem:
    return Problem(
        "rebalancing",
        f"the cluster names worker {owner.worker_id} as the owner of partition {partition}, which does not hold it",
        hint="it is changing hands; ask again",
        partition=partition,
        owner=owner.worker_id,
    )
