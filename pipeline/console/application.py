"""What the console serves, as an ASGI application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from operators.topology import Topology
from pipeline.console.assets import Assets
from pipeline.console.broadcast import Broadcast
from pipeline.console.controls import ControlRoutes, Controls
from pipeline.console.fence import Fence
from pipeline.console.graph import graph
from pipeline.console.letters import LetterRoutes
from pipeline.console.look_up import LookUpRoutes
from pipeline.console.sampling import ACTIVE, Sampler
from pipeline.errors import Misconfigured, PipelineError
from pipeline.query.asking import Refused
from pipeline.query.guard import READING, Guard
from pipeline.query.problems import Problem
from pipeline.query.wire import encode


def console_application(
    topology: Topology,
    pipeline_name: str,
    sampler: Sampler,
    look_up: LookUpRoutes,
    letters: LetterRoutes,
    controls: Controls | None = None,
) -> Starlette:
    """The page, its live samples and look-ups; with `controls` also its buttons."""
    assets = Assets()
    buttons = None if controls is None else ControlRoutes(controls)

    def take() -> dict[str, Any]:
        return sampler.take() | ({} if controls is None else {"controls": controls.shown()})

    broadcast = Broadcast(take, _lively)

    async def topology_drawn(_request: Request) -> Response:
        drawn = graph(topology) | {"pipeline": pipeline_name, "token": buttons and buttons.token}
        return Response(encode(drawn), media_type="application/json")

    async def samples(_request: Request) -> Response:
        return StreamingResponse(broadcast.listen(), media_type="text/event-stream")

    routes = [
        Route("/", assets.page),
        Route("/assets/{name}", assets.asset),
        Route("/api/topology", topology_drawn),
        Route("/api/samples", samples),
        Route("/api/row/{table}", look_up.row),
        Route("/api/rows/{table}", look_up.rows),
        Route("/api/keys/{table}", look_up.keys),
        Route("/api/dead-letters", letters.newest),
        Route("/api/dead-letter", letters.whole),
    ]
    if buttons is not None:
        routes.append(Route("/api/order/{action}", buttons.order, methods=["POST"]))
    application = Starlette(
        routes=routes,
        middleware=[
            Middleware(Fence),
            Middleware(Guard, methods=READING if buttons is None else READING | {"POST"}),
        ],
        exception_handlers=dict.fromkeys([Problem, PipelineError, HTTPException, Exception], _explain),
    )
    application.state.broadcast = broadcast
    return application


def _lively(sample: Mapping[str, Any]) -> bool:
    """Whether something is under way that takes less than a second."""
    rows = sample.get("partitions", ())
    return any(row["state"] != ACTIVE for row in rows) or bool(sample.get("controls", {}).get("running"))


async def _explain(request: Request, error: Exception) -> Response:
    """Every error as a problem document; what nobody foresaw is logged by the server, not told."""
    match error:
        case Problem():
            problem = error
        case Refused() | Misconfigured():
            problem = Problem("bad-request", str(error), hint=error.hint)
        case PipelineError():
            left = {name: error.data[name] for name in ("eta_s",) if name in error.data}
            problem = Problem("unavailable", error.message, hint=error.hint, **left)
        case HTTPException(status_code=405):
            problem = Problem("method-not-allowed", f"{request.method} is not served here")
        case HTTPException():
            problem = Problem("no-such-path", f"nothing is served at {request.url.path}")
        case _:
            problem = Problem("internal", type(error).__name__, hint="see the console's log")
    return problem.response()
