"""How long a stranger may keep a worker busy: the limits on time and on connections.

None of them is asyncio's or uvicorn's own: there a connection may stay silent for ever, and be one of any number.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.query.guard import MAX_HEAD
from pipeline.query.problems import Problem

MAX_CONNECTIONS: Final = 256
"""Beyond these a request is answered with 503; beyond twice as many a connection is cut at once."""
HANDSHAKE_S: Final = 5.0
"""For the greeting of TLS."""
HEAD_S: Final = 10.0
"""From a connection, or from the first byte of a later request, to the end of the request's head."""
ANSWER_S: Final = 60.0
"""From a request to the beginning of its answer: nothing that is asked may take longer."""
STALL_S: Final = 30.0
"""For which somebody may leave an answer in the pipe unread."""

logger = structlog.get_logger(__name__)


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 with an end to patience."""

    _unfinished = 0
    """Bytes that came of a request's head which has no end yet: the parser itself would take any number."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head = _Timer(HEAD_S, transport)
        self._stalled = _Timer(STALL_S, transport)
        if len(self.connections) > 2 * MAX_CONNECTIONS:
            transport.abort()
        else:
            self._head.begin()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head.end()
            self._unfinished = 0
        elif not self.transport.is_closing():
            self._head.begin()
            self._unfinished += len(data)
            if self._unfinished > MAX_HEAD:
                self.send_400_response("The head of the request is too long.")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled.begin()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head.end()
        self._stalled.end()
        super().connection_lost(exc)


class _Timer:
    """Cuts a connection when it is not ended in time; beginning it again does not lengthen it."""

    def __init__(self, after_s: float, transport: asyncio.Transport) -> None:
        self._after_s = after_s
        self._transport = transport
        self._running: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        if self._running is None:
            self._running = asyncio.get_running_loop().call_later(self._after_s, self._transport.abort)

    def end(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None


class PatientLoop(uvloop.Loop):
    """Whose servers do not wait a minute for somebody who says nothing: uvicorn leaves that time at its default.

    It writes, reads and waits with one turn of the interpreter's lock where asyncio's own takes four: beside a worker's
    loop that folds, each of them is a wait of its own (docs/decisions/0022-queries-are-a-thread.md).
    """

    async def create_server(self, *arguments: Any, **options: Any) -> Any:
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = HANDSHAKE_S
        return await super().create_server(*arguments, **options)


class Deadline:
    """ASGI middleware: 503 for an answer that does not begin in time. One that has begun may go on."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        try:
            async with asyncio.timeout(ANSWER_S) as limit:

                async def send_in_time(message: Message) -> None:
                    limit.reschedule(None)
                    await send(message)

                await self._application(scope, receive, send_in_time)
        except TimeoutError:
            if not limit.expired():
                raise
            logger.warning("an answer took too long", path=scope["path"], limit_s=ANSWER_S)
            problem = Problem("too-slow", f"no answer within {ANSWER_S:.0f} s", hint="ask again")
            await problem.response()(scope, receive, send)
