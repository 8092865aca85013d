"""What is turned away before any route sees it: other methods, bodies, long addresses, broken text."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.query.problems import Problem

MAX_ADDRESS = 4_096
"""Bytes of path and query."""

MAX_HEAD = 16_384
"""Bytes of the headers; where they come in pieces the HTTP parser stops there by itself."""

_DOTS = re.compile(rb"/\.{1,2}(/|$)")


READING = frozenset({"GET", "HEAD"})


class Guard:
    """ASGI middleware around the application."""

    def __init__(self, application: ASGIApp, methods: Collection[str] = READING) -> None:
        self._application = application
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                _check(scope, self._methods)
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
        await self._application(scope, receive, send)


def _check(scope: Scope, methods: Collection[str]) -> None:
    if scope["method"] not in methods:
        raise Problem("method-not-allowed", f"{scope['method']} is not served here: state changes by the log alone")
    address = scope["raw_path"] + b"?" + scope["query_string"]
    if len(address) > MAX_ADDRESS:
        raise Problem("too-long", f"path and query are {len(address)} bytes, more than {MAX_ADDRESS}")
    if not scope["raw_path"].startswith(b"/") or _DOTS.search(scope["raw_path"]):
        # Who passes a request on, proxy or worker, would make another address of it than the one that was looked at.
        raise Problem("bad-request", "a path begins with / and has no . or .. among its parts", hint="write . as %2E")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD:
        raise Problem("headers-too-long", f"the headers are longer than {MAX_HEAD} bytes")
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0"):
            raise Problem("body-not-allowed", "a request with a body is refused")
    try:
        unquote_to_bytes(address).decode()
    except UnicodeDecodeError:
        # Else the broken bytes would become U+FFFD, and another key would be looked up than was asked for.
        raise Problem("bad-request", "path and query are UTF-8, percent-encoded") from None
