"""Who may ask what. `Gate` looks at the token of each request; behind it each route needs a right, which is named here.

A route that is not named here does not start: forgotten is not the same as open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import unquote_to_bytes

import structlog
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from operators.topology import AggregateStage
from pipeline.query.credentials import ANYONE, NOBODY, Caller, Credentials
from pipeline.query.outgoing import ASKED_WITH
from pipeline.query.problems import Problem
from pipeline.query.rights import EVERY_TABLE, READ, Right
from pipeline.query.stream import asked_key
from pipeline.query.wire import CHECKPOINT_PATH, OPENAPI_PATH, SKEW_PATH, STATUS_PATH, TABLES_ROOT, VERIFY_PATH

PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Served to everybody: who starts and stops workers has no token. Without one they say yes or no, and not why."""

NEEDED: Final[Mapping[str, Right | None]] = {
    **dict.fromkeys(PROBES),
    "/metrics": Right.METRICS,
    STATUS_PATH: Right.STATUS,
    OPENAPI_PATH: Right.STATUS,
    VERIFY_PATH: Right.VERIFY,
    CHECKPOINT_PATH + "/{partition}": Right.CHECKPOINT,
}
"""By a route's path. Whatever is below a table needs the right to read there, and keys that of any table with them."""

logger = structlog.get_logger(__name__)

_OF_A_TABLE = TABLES_ROOT + "/{table}"
_CALLER = "statelog.caller"
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)


class Gate:
    """ASGI middleware around the application: 401 to whoever shows no token that is known here."""

    def __init__(self, application: ASGIApp, credentials: Credentials | None) -> None:
        """Without credentials anyone may ask anything."""
        self._application = application
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # Always: the task of a request that came behind another begins with what that one has set.
            ASKED_WITH.set(None)
            try:
                scope[_CALLER] = self._caller(scope)
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
        await self._application(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        if self._credentials is None:
            return ANYONE
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        caller = _known(shown, self._credentials)
        if caller is not None:
            ASKED_WITH.set(shown[0].decode("ascii"))
            return caller
        if scope["path"] in PROBES:
            return NOBODY
        if not shown:
            raise Problem("unauthenticated", "a token is needed here", hint="Authorization: Bearer TOKEN")
        # Why it is none is told to nobody: that would help to make a better one.
        raise Problem("unauthenticated", "what was shown is no token that is known here")


def _known(shown: Sequence[bytes], credentials: Credentials) -> Caller | None:
    if len(shown) != 1 or not shown[0].isascii():
        return None
    found = _BEARER.fullmatch(shown[0].decode("ascii"))
    return None if found is None else credentials.caller(found[1])


def may(request: Request, right: Right) -> bool:
    """Whether the one who asks has that right, for what a route tells to some and not to others."""
    caller: Caller = request.scope[_CALLER]
    return caller.rights.may(right)


def behind_the_gate(route: Route, stage: AggregateStage | None) -> Route:
    """The same route for those who have the right to it. KeyError for one that is not named here."""
    if stage is not None and (route.path == _OF_A_TABLE or route.path.startswith(_OF_A_TABLE + "/")):
        route.app = _Needs(route.app, partial(_check_reading, stage))
    elif stage is not None and route.path == SKEW_PATH:
        route.app = _Needs(route.app, partial(_check_keys, stage))
    elif (right := NEEDED[route.path]) is not None:
        route.app = _Needs(route.app, partial(_check, right))
    return route


class _Needs:
    """ASGI middleware around one route."""

    def __init__(self, application: ASGIApp, check: Callable[[Request, Caller], None]) -> None:
        self._application = application
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller = scope[_CALLER]
        try:
            self._check(Request(scope), caller)
        except Problem as problem:
            logger.info("a question is denied", caller=caller.name, path=scope["path"], needed=problem.facts["needed"])
            raise
        await self._application(scope, receive, send)


def _check(right: Right, _request: Request, caller: Caller) -> None:
    if not caller.rights.may(right):
        raise Problem("forbidden", f"the token does not have the scope {right}", needed=right)


def _check_reading(stage: AggregateStage, request: Request, caller: Caller) -> None:
    """Before anything is looked up: what is outside somebody's prefix is refused alike whether it is there or not."""
    table = request.path_params["table"]
    prefix = _asked_for(request, stage)
    if caller.rights.may_read(table, prefix):
        return
    hint = "" if "key" in request.path_params else "a token for a part of a table lists with prefix="
    raise Problem("forbidden", f"the token does not let read this of {table}", hint=hint, needed=f"{READ}:{table}")


def _check_keys(stage: AggregateStage, request: Request, caller: Caller) -> None:
    """Keys of source records are those by which rows are looked up, in each table that is not local."""
    prefix = _asked_for(request, stage)
    tables = [table.name for table in stage.tables if not table.local]
    if not any(caller.rights.may_read(table, prefix) for table in tables):
        raise Problem(
            "forbidden",
            "the token does not let see which keys are hot",
            hint="a token for a part of a table asks with prefix=",
            needed=f"{READ}:{tables[0] if tables else EVERY_TABLE}",
        )


def _asked_for(request: Request, stage: AggregateStage) -> bytes:
    """What every row begins with that the request can show; where that cannot be said, nothing: the whole table."""
    if "key" in request.path_params:
        try:
            return stage.table(request.path_params["table"]).key.parse(asked_key(request))
        except (KeyError, ValueError):
            return b""
    prefixes = request.query_params.getlist("prefix")
    return unquote_to_bytes(prefixes[0]) if len(prefixes) == 1 else b""
