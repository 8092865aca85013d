"""The page's own files, as they are in the package: read once, served by name, nothing else can be asked for."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from pipeline.query.problems import Problem

PAGE = "index.html"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Assets:
    def __init__(self) -> None:
        folder = files("pipeline.console") / "static"
        self._files = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}

    async def page(self, _request: Request) -> Response:
        return self._serve(PAGE)

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            raise Problem("no-such-path", f"nothing is served at {request.url.path}")
        return self._serve(name)

    def _serve(self, name: str) -> Response:
        return Response(self._files[name], headers={"content-type": _TYPES[name.rpartition(".")[2]]})
