"""Who may read: browsers of this machine that came by its own name. And what the page may do: load itself."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.query.problems import Problem

_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Fence:
    """ASGI middleware around everything."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return

        async def send_fenced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        # A stranger's name that leads to this machine would make a stranger's page one of the same origin.
        host = Headers(scope=scope).get("host", "")
        if host.rpartition(":")[0] not in _HOSTS and host not in _HOSTS:
            problem = Problem("foreign-page", f"this is not {host}", hint="come by 127.0.0.1 or localhost")
            await problem.response()(scope, receive, send_fenced)
            return
        await self._application(scope, receive, send_fenced)
