"""What workers serve, as ASGI applications."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Lifespan

from operators.topology import AggregateStage
from pipeline.errors import Misconfigured, PipelineError, StateUnusable
from pipeline.query.credentials import Credentials
from pipeline.query.directory import Directory
from pipeline.query.donation import CheckpointRoutes, Donate
from pipeline.query.gate import Gate, behind_the_gate
from pipeline.query.guard import Guard
from pipeline.query.health import HealthRoutes
from pipeline.query.openapi import document
from pipeline.query.outgoing import PLAIN, Outgoing
from pipeline.query.patience import Deadline
from pipeline.query.peers import Peers
from pipeline.query.problems import FORMS, Problem, Told, told_nobody
from pipeline.query.skew import SkewRoutes
from pipeline.query.status import StatusRoutes
from pipeline.query.tables import TableRoutes
from pipeline.query.upstream import Upstream
from pipeline.query.verification import Verify, VerifyRoutes
from pipeline.query.wire import (
    CHECKPOINT_PATH,
    OPENAPI_PATH,
    RESERVED_TABLE_NAMES,
    SKEW_PATH,
    STATUS_PATH,
    TABLES_ROOT,
    VERIFY_PATH,
    encode,
)
from pipeline.runtime.view import HealthView, WorkerView


def application(
    view: WorkerView,
    directory: Directory,
    upstream: Upstream,
    verify: Verify,
    donate: Donate,
    registry: CollectorRegistry,
    *,
    credentials: Credentials | None = None,
    outgoing: Outgoing = PLAIN,
    told: Told = told_nobody,
) -> Starlette:
    """Everything that an aggregate worker serves: to those whom the credentials know, to anyone where there are none.

    `outgoing`: how it asks the other workers. `told`: counts the problems that it answers with. Misconfigured for a
    table whose name the server needs for itself.
    """
    taken = RESERVED_TABLE_NAMES & {table.name for table in view.stage.tables}
    if taken:
        raise Misconfigured(f"a table cannot be named {', '.join(sorted(taken))}", hint="rename it in the topology")
    peers = Peers(view, directory, outgoing)
    tables = TableRoutes(view, peers, upstream)

    @contextlib.asynccontextmanager
    async def lifespan(_application: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await peers.close()

    return _application(
        [
            *HealthRoutes(view, registry).routes(),
            Route(STATUS_PATH, StatusRoutes(view, peers).status),
            Route(SKEW_PATH, SkewRoutes(view, peers).skew),
            Route(VERIFY_PATH, VerifyRoutes(view, peers, verify).verify),
            Route(CHECKPOINT_PATH + "/{partition}", CheckpointRoutes(view, directory.partitions, donate).checkpoint),
            Route(OPENAPI_PATH, _always(document(view.stage))),
            Route(TABLES_ROOT + "/{table}", tables.list_rows),
            Route(TABLES_ROOT + "/{table}/{key:path}", tables.look_up),
        ],
        credentials,
        told,
        view.stage,
        lifespan,
    )


def stateless_application(
    view: HealthView, registry: CollectorRegistry, credentials: Credentials | None = None, told: Told = told_nobody
) -> Starlette:
    """What a worker without tables serves."""
    return _application(HealthRoutes(view, registry).routes(), credentials, told)


def _application(
    routes: Sequence[Route],
    credentials: Credentials | None,
    told: Told,
    stage: AggregateStage | None = None,
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    served = Starlette(
        routes=[behind_the_gate(route, stage) for route in routes],
        middleware=[Middleware(Guard), Middleware(Gate, credentials), Middleware(Deadline)],
        exception_handlers=dict.fromkeys([Problem, PipelineError, HTTPException, Exception], _explain),
        lifespan=lifespan,
    )
    served.state.told = told
    for kind, form in FORMS.items():
        told(form.status, kind, 0)  # each from zero on: what appears at one is no increase to Prometheus
    return served


def _always(answer: Mapping[str, object]) -> Callable[[Request], Awaitable[Response]]:
    encoded = encode(answer)

    async def respond(_request: Request) -> Response:
        return Response(encoded, media_type="application/json")

    return respond


def _shown(route: BaseRoute) -> str:
    return re.sub(r"{(\w+)(:path)?}", lambda part: part[1].upper(), getattr(route, "path", ""))


async def _explain(request: Request, error: Exception) -> Response:
    """Every error as a problem document. What nobody foresaw is logged by the server, not told to strangers."""
    match error:
        case Problem():
            problem = error
        case StateUnusable():
            problem = Problem("state-unusable", str(error), hint=error.hint)
        case PipelineError():
            problem = Problem("internal", str(error), hint=error.hint)
        case HTTPException():
            hint = f"try {', '.join(_shown(each) for each in request.app.routes)}"
            problem = Problem("no-such-path", f"nothing is served at {request.url.path}", hint=hint)
        case _:
            problem = Problem("internal", type(error).__name__, hint="see the worker's log")
    return problem.response()
