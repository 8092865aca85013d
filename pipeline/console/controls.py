"""What the page may do beside reading: nothing, but where whoever serves it gives it something to do."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from pipeline.query.parameters import single_parameters
from pipeline.query.problems import Problem
from pipeline.query.wire import encode

TOKEN_HEADER = "statelog-console-token"  # noqa: S105 (the header's name)


class Controls(Protocol):
    """Called on the server's threads."""

    def shown(self) -> Mapping[str, Any]:
        """What can be done, and what is being done, as JSON-able data."""
        ...

    def order(self, action: str, worker: str) -> None:
        """Begin it. ValueError for an action or a worker that there is not, Busy while another is under way."""
        ...


class Busy(Exception):
    """One thing at a time."""


class ControlRoutes:
    """Orders come from the page served here alone: another page can send a request, but has not this token."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self.token = secrets.token_urlsafe(32)
        """For the page, which no other origin can read."""

    async def order(self, request: Request) -> Response:
        """`worker=ID`. 403 for whoever is not the page."""
        parameters = single_parameters(request, ["worker"])
        headers = request.headers
        own_origin = f"http://{headers.get('host', '')}"
        if headers.get("origin") != own_origin or headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise Problem("foreign-page", "orders are taken from the console's own page alone")
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self.token.encode()):
            raise Problem("foreign-page", "the page is of a console that has ended", hint="load it anew")
        try:
            self._controls.order(request.path_params["action"], parameters.get("worker", ""))
        except ValueError as error:
            raise Problem("bad-parameter", str(error)) from None
        except Busy as error:
            raise Problem("busy", str(error), hint="wait until it is done") from None
        return Response(encode({"begun": True}), 202, media_type="application/json")
