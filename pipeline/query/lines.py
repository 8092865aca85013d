"""A long computation's progress as lines of JSON, each sent when it is made."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing

import structlog

from pipeline.errors import PipelineError
from pipeline.query.wire import encode

logger = structlog.get_logger(__name__)

Work = Callable[[], Generator[dict[str, object], None, None]]


def stream(work: Work) -> AsyncIterator[bytes]:
    """Run `work` in a thread of its own, which alone touches and closes its generator; a line for each item.

    When nobody listens any more, the generator is closed after its current step. An error becomes a last line
    `{"error", "hint"}`: the status of the answer has long been sent. Call it on the event loop that will listen.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    abandoned = threading.Event()

    def send(line: bytes | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(lines.put_nowait, line)

    def run() -> None:
        try:
            with closing(work()) as items:
                for item in items:
                    if abandoned.is_set():
                        break
                    send(encode(item) + b"\n")
        except PipelineError as error:
            send(encode({"error": str(error), "hint": error.hint}) + b"\n")
        except Exception as error:
            logger.exception("a streamed answer failed")
            send(encode({"error": f"{type(error).__name__}: {error}", "hint": "see the worker's log"}) + b"\n")
        finally:
            send(None)

    async def listen() -> AsyncIterator[bytes]:
        try:
            while (line := await lines.get()) is not None:
                yield line
        finally:
            abandoned.set()

    # A daemon: a worker that stops does not wait for somebody's verification.
    threading.Thread(target=run, name="statelog-lines", daemon=True).start()
    return listen()
