"""`/v1/verify`: this worker's partitions proved against the log, as a stream of JSON lines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pipeline.query.lines import stream
from pipeline.query.parameters import boolean_of, partitions_of, single_parameters
from pipeline.query.peers import Peers
from pipeline.query.problems import Problem
from pipeline.query.reads import Reads
from pipeline.runtime.view import PartitionState, WorkerView

Verify = Callable[[list[int], bool], Iterator[dict[str, object]]]
"""From partitions held here, and whether to refold the source, to lines: progress, and one result a partition."""


class VerifyRoutes:
    """One verification at a time: it reads whole changelogs."""

    def __init__(self, view: WorkerView, peers: Peers, verify: Verify) -> None:
        self._view = view
        self._peers = peers
        self._verify = verify
        self._running = threading.Lock()

    async def verify(self, request: Request) -> Response:
        """All active partitions held here, or those asked for; 421 or 503 when one of these is not active here."""
        if request.method == "HEAD":
            raise Problem("method-not-allowed", "a verification is asked for with GET")
        parameters = single_parameters(request, ["partitions", "from_source"])
        from_source = boolean_of(parameters, "from_source")
        if "partitions" in parameters:
            partitions = partitions_of(parameters, self._peers.directory.partitions)
            for partition in partitions:
                Reads(self._view).require_active(partition)
        else:
            held = self._view.partitions()
            partitions = sorted(one.partition for one in held if one.state is PartitionState.ACTIVE)
        if not self._running.acquire(blocking=False):
            raise Problem(
                "busy", f"worker {self._view.worker_id} is verifying for somebody else", hint="ask again later"
            )

        def work() -> Generator[dict[str, object], None, None]:
            try:
                yield from self._verify(partitions, from_source)
            finally:
                self._running.release()

        return StreamingResponse(stream(work), media_type="application/x-ndjson")
