"""Problem documents (RFC 9457): what cannot be answered is said with its reason, never as an empty result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.query.wire import PROBLEM_TYPE_PREFIX, encode

ProblemKind = Literal[
    "no-such-path",
    "unknown-table",
    "unknown-view",
    "no-such-row",
    "bad-key",
    "bad-parameter",
    "bad-request",
    "unauthenticated",
    "forbidden",
    "method-not-allowed",
    "too-long",
    "headers-too-long",
    "body-not-allowed",
    "not-owner",
    "restoring",
    "stale",
    "too-stale",
    "not-yet",
    "no-owner",
    "no-standby",
    "rebalancing",
    "owner-unreachable",
    "group-unknown",
    "incomplete",
    "busy",
    "too-slow",
    "unavailable",
    "foreign-page",
    "not-healthy",
    "not-ready",
    "state-unusable",
    "internal",
]


class _Form(NamedTuple):
    status: int
    title: str


FORMS: dict[ProblemKind, _Form] = {
    "no-such-path": _Form(404, "no such path"),
    "unknown-table": _Form(404, "no such table"),
    "unknown-view": _Form(404, "no such view of the table"),
    "no-such-row": _Form(404, "no such row"),
    "bad-key": _Form(400, "not a key of this table"),
    "bad-parameter": _Form(400, "bad query parameter"),
    "bad-request": _Form(400, "bad request"),
    "unauthenticated": _Form(401, "a token is needed"),
    "forbidden": _Form(403, "the token does not allow it"),
    "method-not-allowed": _Form(405, "only GET and HEAD are served"),
    "too-long": _Form(414, "the address is too long"),
    "headers-too-long": _Form(431, "the headers are too long"),
    "body-not-allowed": _Form(413, "a request has no body here"),
    "not-owner": _Form(421, "another worker owns the partition"),
    "restoring": _Form(503, "the partition is being restored"),
    "stale": _Form(503, "the worker may have lost the partition"),
    "too-stale": _Form(503, "the partition is further behind than the question allows"),
    "not-yet": _Form(503, "the message has not been folded yet"),
    "no-owner": _Form(503, "no worker owns the partition"),
    "rebalancing": _Form(503, "the partition is changing hands"),
    "owner-unreachable": _Form(503, "the partition's owner does not answer"),
    "group-unknown": _Form(503, "the cluster does not say who owns the partition"),
    "incomplete": _Form(503, "some partitions cannot answer"),
    "no-standby": _Form(409, "no standby of the partition is kept here"),
    "busy": _Form(503, "the worker does as much of this already as it can"),
    "too-slow": _Form(503, "the answer took too long"),
    "unavailable": _Form(503, "nobody can answer now"),
    "foreign-page": _Form(403, "not asked by the page that is served here"),
    "not-healthy": _Form(503, "the worker's loop does not run"),
    "not-ready": _Form(503, "the worker is not ready"),
    "state-unusable": _Form(500, "the store gave what cannot be trusted"),
    "internal": _Form(500, "the worker failed at this request"),
}


Told = Callable[[int, str, int], None]
"""Counts problems: status, kind, and how many."""


def told_nobody(_status: int, _kind: str, _times: int) -> None:
    """Where nobody counts."""


class Problem(Exception):
    """Why a request has no answer. Raised anywhere below a route; rendered by the application."""

    def __init__(self, kind: ProblemKind, detail: str, *, hint: str = "", **facts: object) -> None:
        super().__init__(detail)
        self.kind: ProblemKind = kind
        self.detail = detail
        self.hint = hint
        self.facts = facts

    @property
    def status(self) -> int:
        return FORMS[self.kind].status

    def document(self) -> dict[str, object]:
        form = FORMS[self.kind]
        known = {
            "type": PROBLEM_TYPE_PREFIX + self.kind,
            "title": form.title,
            "status": form.status,
            "detail": self.detail,
        }
        return known | ({"hint": self.hint} if self.hint else {}) | self.facts

    def response(self) -> Response:
        headers = {}
        if self.status == 503:
            headers["retry-after"] = "1"
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.status == 405:
            headers["allow"] = "GET, HEAD"
        return _Answer(self.kind, encode(self.document()), self.status, headers)


class _Answer(Response):
    """Whoever gives it, gate, guard or route, it is counted where the application says."""

    def __init__(self, kind: ProblemKind, content: bytes, status: int, headers: dict[str, str]) -> None:
        super().__init__(content, status, headers, media_type="application/problem+json")
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told: Told = getattr(scope["app"].state, "told", told_nobody)
        told(self.status_code, self._kind, 1)
        await super().__call__(scope, receive, send)
