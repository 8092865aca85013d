"""`/v1/checkpoint/{partition}`: a standby's store for a peer that has just got its partition.

The answer is a line of JSON, the manifest (`pipeline.state.rocks_transfer`), and then the bytes of the files in its
order. It holds every row of every table, so it takes a right of its own.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pipeline.errors import StateUnusable
from pipeline.query.parameters import partitions_of, single_parameters
from pipeline.query.problems import Problem
from pipeline.query.wire import encode
from pipeline.runtime.view import WorkerView
from pipeline.settings import Settings
from pipeline.state.rocks_transfer import blocks, describe
from pipeline.verify.worker_side import scratch_directory

MOST_AT_ONCE = 2
"""Each reads a whole store twice."""

Donate = Callable[[int], Generator[bytes, None, None]]
"""From a partition to the bytes of the answer. KeyError, StateUnusable before the first of them."""


def donor(settings: Settings, view: WorkerView) -> Donate:
    """Checkpoints of the standbys that this worker keeps, as hard links on the stores' disk for as long as they go."""

    def donate(partition: int) -> Generator[bytes, None, None]:
        with scratch_directory(settings.data_dir) as scratch:
            checkpoint = scratch / "checkpoint"
            identity, position = view.standby_checkpoint(partition, checkpoint)
            manifest = describe(checkpoint, identity, position)
            yield encode(manifest) + b"\n"
            yield from blocks(checkpoint, manifest)

    return donate


class CheckpointRoutes:
    def __init__(self, view: WorkerView, partitions: int, donate: Donate) -> None:
        self._view = view
        self._partitions = partitions
        self._donate = donate
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)

    async def checkpoint(self, request: Request) -> Response:
        """409 where no standby is kept, 503 while it is in mid-restore or others take theirs."""
        if request.method == "HEAD":
            raise Problem("method-not-allowed", "a checkpoint is asked for with GET")
        single_parameters(request, [])
        (partition, *others) = partitions_of({"partitions": request.path_params["partition"]}, self._partitions)
        if others:
            raise Problem("bad-parameter", "one partition at a time")
        answer = self._answer(partition)
        first = await to_thread.run_sync(next, answer)
        return StreamingResponse(_body(first, answer), media_type="application/octet-stream")

    def _answer(self, partition: int) -> Generator[bytes, None, None]:
        with self._turn(), self._refused(partition):
            yield from self._donate(partition)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            raise Problem("busy", f"worker {self._view.worker_id} gives checkpoints to others", hint="ask again later")
        try:
            yield
        finally:
            self._free.release()

    @contextmanager
    def _refused(self, partition: int) -> Iterator[None]:
        try:
            yield
        except KeyError:
            detail = f"worker {self._view.worker_id} keeps no standby of partition {partition}"
            raise Problem("no-standby", detail, partition=partition) from None
        except StateUnusable as error:
            raise Problem("restoring", f"the standby is not fit to be given: {error}", partition=partition) from error


async def _body(first: bytes, rest: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    """Made in threads, and ended when nobody listens any more."""
    try:
        yield first
        while (block := await to_thread.run_sync(next, rest, b"")) != b"":
            yield block
    finally:
        rest.close()
