"""One sample at a time, for however many watch; none is taken while nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import structlog
from anyio import to_thread

from pipeline.query.wire import encode

CALM_S, LIVELY_S = 1.0, 0.15
"""Between two samples: small restores take less than a second, and should be seen."""
FIRST = b"retry: 1000\n\n"
"""A browser that has lost the connection comes back after so many ms."""

logger = structlog.get_logger(__name__)


class Broadcast:
    """The samples as server-sent events. For one event loop."""

    def __init__(self, take: Callable[[], Mapping[str, Any]], lively: Callable[[Mapping[str, Any]], bool]) -> None:
        """`take` runs in a thread, never twice at a time. While a sample is `lively`, the next one comes sooner."""
        self._take = take
        self._lively = lively
        self._news = asyncio.Condition()
        self._latest = b""
        self._sampling: asyncio.Task[None] | None = None
        self.viewers = 0

    async def listen(self) -> AsyncIterator[bytes]:
        """Each sample as it comes; one who is slow misses those in between."""
        self.viewers += 1
        if self._sampling is None:
            self._sampling = asyncio.create_task(self._sample())
        try:
            yield FIRST
            seen = b""
            while True:
                async with self._news:
                    while self._latest is seen:
                        await self._news.wait()
                    seen = self._latest
                yield seen
        finally:
            self.viewers -= 1

    async def _sample(self) -> None:
        while self.viewers:
            pause_s = CALM_S
            try:
                sample = await to_thread.run_sync(self._take)
                pause_s = LIVELY_S if self._lively(sample) else CALM_S
            except Exception as error:
                logger.exception("no sample could be taken")
                sample = {"trouble": [f"{type(error).__name__}; see the console's log"]}
            async with self._news:
                self._latest = b"data: " + encode(sample) + b"\n\n"
                self._news.notify_all()
            await asyncio.sleep(pause_s)
        self._sampling, self._latest = None, b""
