"""`/v1/{table}/{key}/stream`: a row's changes as server-sent events, while its owner stays who it is.

    id: 4711                          the position: the next source offset that is not in the value
    event: row                        a value; `absent`: there is no such row (any more); `end`: no more comes from here
    data: {"key", "value", "meta"}    as the look-up gives it; of `end` a problem document

The first event is the row as it is. After it comes one for each commit that touches the row, but a reader that is
slower than the commits gets the latest value in place of those that it has missed. `Last-Event-ID` at the position that
the row is still at leaves the first event out. Between events there are comments, so that a connection that is gone is
noticed. When the partition leaves, `end` says why and whom to ask, and the connection closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from operators.topology import TableSpec
from pipeline.query.parameters import single_parameters
from pipeline.query.peers import Peers
from pipeline.query.problems import Problem
from pipeline.query.reads import Reads, Show, show_of
from pipeline.query.wire import ROUTED_HEADER, STREAM_SUFFIX, Row, encode
from pipeline.runtime.view import PartitionState, WorkerView

MAX_STREAMS = 64
"""Of a worker, those that it passes on included: each holds a connection."""
KEEP_ALIVE_S = 10.0
LOOK_S = 0.25
"""How soon a stream notices that its partition has left."""
RETRY_MS = 1_000
"""After which a browser connects again by itself."""
MEDIA_TYPE = "text/event-stream"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def is_stream(request: Request, key: str) -> bool:
    """Whether a question for a key ends in /stream: not escaped, as a slash inside a key is, and not as a key alone."""
    return key.endswith(STREAM_SUFFIX) and request.scope["raw_path"].endswith(STREAM_SUFFIX.encode())


def asked_key(request: Request) -> str:
    """The key that a question is about, the row's own or that of its stream."""
    key: str = request.path_params["key"]
    return key.removesuffix(STREAM_SUFFIX) if is_stream(request, key) else key


class Streams:
    """Used on the server's event loop only."""

    def __init__(self, view: WorkerView, peers: Peers, reads: Reads) -> None:
        self._view = view
        self._peers = peers
        self._reads = reads
        self._open = 0

    async def stream(self, request: Request, spec: TableSpec[Any], partition: int, key: bytes) -> Response:
        """The stream of one row, from its owner. Problem when there is none, as for a look-up."""
        if spec.select is not None:
            hint = "a table with one row a key is; or list the rows again"
            raise Problem("no-such-path", f"rows of {spec.name} are many a key, and not streamed", hint=hint)
        show = show_of(spec, single_parameters(request, ["view"]).get("view"))
        if self._open >= MAX_STREAMS:
            raise Problem("busy", f"{MAX_STREAMS} streams are open here", hint="close one, or ask another worker")
        try:
            self._reads.require_active(partition)
        except Problem as problem:
            if problem.kind not in {"not-owner", "stale"}:
                raise
            if ROUTED_HEADER in request.headers:
                raise (await self._peers.misdirected(partition) if problem.kind == "not-owner" else problem) from None
            if request.method == "HEAD":
                return await self._peers.pass_on(request, partition)
            answer = await self._peers.open_stream(request, partition)
            if answer.status_code == 421:
                raise Problem("rebalancing", f"partition {partition} is changing hands", hint="ask again") from None
            if answer.status_code != httpx.codes.OK:
                return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))
            events = self._passed_on(answer)
        else:
            if request.method == "HEAD":
                return Response(headers=_HEADERS, media_type=MEDIA_TYPE)
            events = self._events(spec, partition, key, show, request.headers.get("last-event-id"))
        return StreamingResponse(self._counted(events), headers=_HEADERS, media_type=MEDIA_TYPE)

    async def _counted(self, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        self._open += 1
        try:
            async for event in events:
                yield event
        finally:
            self._open -= 1

    async def _passed_on(self, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            async for part in answer.aiter_raw():
                yield part
        except httpx.HTTPError as error:
            yield _end(Problem("owner-unreachable", f"the owner is gone: {type(error).__name__}", hint="ask again"))
        finally:
            await answer.aclose()

    async def _events(
        self, spec: TableSpec[Any], partition: int, key: bytes, show: Show, last_id: str | None
    ) -> AsyncGenerator[bytes, None]:
        """Nothing is queued: a touch sets a flag, and what is sent is read when there is room to send it."""
        loop, touched = asyncio.get_running_loop(), asyncio.Event()

        def touch() -> None:
            if not touched.is_set() and not loop.is_closed():
                loop.call_soon_threadsafe(touched.set)

        yield f"retry: {RETRY_MS}\n".encode()
        told, sent_at = last_id, loop.time()
        with self._view.changes.listening((spec.name, key), touch):
            touched.set()
            while True:
                try:
                    if not await self._is_active(partition):
                        touched.set()  # a restore may bring anything
                        await asyncio.sleep(LOOK_S)
                    elif touched.is_set():
                        touched.clear()
                        event, position = self._now(spec, partition, key, show)
                        if position != told:
                            yield event
                            sent_at = loop.time()
                        told = None
                except Problem as problem:
                    yield _end(problem)
                    return
                if loop.time() - sent_at >= KEEP_ALIVE_S:
                    yield b": still here\n\n"
                    sent_at = loop.time()
                await _wait(touched, LOOK_S)

    async def _is_active(self, partition: int) -> bool:
        """False while it is restored after an abort, here. Problem once this worker cannot speak for it any more."""
        state = self._view.state_of(partition)
        if state is None:
            raise await self._peers.misdirected(partition)
        if state is PartitionState.STALE:
            self._reads.require_active(partition)
        return state is PartitionState.ACTIVE

    def _now(self, spec: TableSpec[Any], partition: int, key: bytes, show: Show) -> tuple[bytes, str]:
        value, meta = self._reads.row(spec, partition, key, show)
        row = Row(spec.key.show(key), value, meta)
        return _event("absent" if value is None else "row", encode(row), meta.position), str(meta.position)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _event(name: str, data: bytes, position: int | None = None) -> bytes:
    """JSON has no line breaks, so that an event's data is one line."""
    place = b"" if position is None else b"id: %d\n" % position
    return place + b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _end(problem: Problem) -> bytes:
    return _event("end", encode(problem.document()))
