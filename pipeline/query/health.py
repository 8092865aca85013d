"""`/healthz`: whether the loop lives. `/readyz`: whether all that is held here is active. `/metrics`: Prometheus.

These every worker has, of either kind.
"""

from __future__ import annotations

from anyio import to_thread
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.query.gate import may
from pipeline.query.problems import Problem
from pipeline.query.rights import Right
from pipeline.query.wire import encode
from pipeline.runtime.view import HealthView


class HealthRoutes:
    def __init__(self, view: HealthView, registry: CollectorRegistry) -> None:
        self._view = view
        self._registry = registry

    def routes(self) -> list[Route]:
        return [Route("/healthz", self.alive), Route("/readyz", self.ready), Route("/metrics", self.metrics)]

    async def alive(self, request: Request) -> Response:
        healthy, why = self._view.healthy()
        if not healthy:
            raise Problem("not-healthy", _to(request, why))
        return _ok("alive")

    async def ready(self, request: Request) -> Response:
        ready, why = self._view.ready()
        if not ready:
            raise Problem(
                "not-ready", _to(request, why), hint="a worker that restores is alive; /healthz tells a dead one"
            )
        return _ok("ready")

    async def metrics(self, request: Request) -> Response:
        encoder, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(await to_thread.run_sync(encoder, self._registry), media_type=content_type)


def _to(request: Request, why: str) -> str:
    """To probes, which have no token, nothing that counts or names anything."""
    return why if may(request, Right.STATUS) else f"a token with the scope {Right.STATUS} is told why"


def _ok(status: str) -> Response:
    return Response(encode({"status": status}), media_type="application/json")
