"""A TCP proxy before a broker, which reads enough of Kafka's frames to lose, on purpose, what a test wants lost."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Self

from pipeline.broker.config import HOST
from pipeline.broker.ports import free_port

END_TXN = 26
"""Kafka's number of the request that ends a transaction."""

_SIZE = struct.Struct(">i")
_REQUEST = struct.Struct(">hhi")
"""Which request, its version, and the number by which the answer will name it."""
_ANSWER = struct.Struct(">i")


class Network(Enum):
    """What the proxy does with what it is given."""

    WHOLE = "passes everything on"
    REFUSING = "closes every connection, at once"
    SILENT = "takes everything, passes nothing on, and closes nothing"


class Proxy:
    """Clients connect to `port`. Use it in a `with`; then tell it where the broker is.

    It runs on a thread of its own; the orders may come from any other.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.swallowed_bytes = 0
        self.refused = 0
        """Connections that were closed or not taken."""
        self.lost_answers = 0
        self._upstream = 0
        self._network = Network.WHOLE
        self._losing: int | None = None
        self._late_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _call(self, order: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(order, self._loop).result(30)

    # Orders

    def lead_to(self, port: int) -> None:
        self._upstream = port

    @contextmanager
    def network(self, state: Network) -> Iterator[None]:
        """For as long as the block runs. Connections that went through silence are closed at its end, as a network that
        comes back does: what was swallowed cannot be made good.
        """
        self._network = state
        if state is Network.REFUSING:
            self._call(self._hang_up())
        try:
            yield
        finally:
            self._call(self._hang_up())
            self._network = Network.WHOLE

    @contextmanager
    def losing_answers(self, api_key: int, *, late_s: float | None = None) -> Iterator[None]:
        """The broker gets these requests and does what they ask; its answers never arrive, or come late."""
        self._losing, self._late_s = api_key, late_s or 0.0
        try:
            yield
        finally:
            self._losing = None

    async def _hang_up(self) -> None:
        self.refused += len(self._open)
        for writer in list(self._open):
            writer.transport.abort()

    # Connections

    async def _listen(self) -> None:
        await asyncio.start_server(self._serve, HOST, self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._network is Network.REFUSING:
            self.refused += 1
            writer.transport.abort()
            return
        try:
            of_broker, to_broker = await asyncio.open_connection(HOST, self._upstream)
        except OSError:
            writer.transport.abort()
            return
        asked: deque[int] = deque()
        self._open |= {writer, to_broker}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(reader, to_broker, asked))
                tasks.create_task(self._answers(of_broker, writer, asked))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= {writer, to_broker}
            for each in (writer, to_broker):
                each.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: deque[int]) -> None:
        while True:
            frame = await _frame(reader)
            if self._network is Network.SILENT:
                self.swallowed_bytes += len(frame)
                continue
            api_key, _version, number = _REQUEST.unpack_from(frame, _SIZE.size)
            if api_key == self._losing:
                asked.append(number)
            writer.write(frame)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: deque[int]) -> None:
        while True:
            frame = await _frame(reader)
            if self._network is Network.SILENT:
                self.swallowed_bytes += len(frame)
                continue
            (number,) = _ANSWER.unpack_from(frame, _SIZE.size)
            if asked and asked[0] == number:
                asked.popleft()
                self.lost_answers += 1
                if not self._late_s:
                    continue
                await asyncio.sleep(self._late_s)
            writer.write(frame)
            await writer.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    size = await reader.readexactly(_SIZE.size)
    return size + await reader.readexactly(_SIZE.unpack(size)[0])


def behind(proxy: Proxy, port: int, controller_port: int) -> dict[str, str]:
    """Settings of a broker that listens on `port` directly, and tells whoever comes through the proxy to stay there."""
    inner = free_port()
    proxy.lead_to(inner)
    return {
        "listeners": f"PLAINTEXT://{HOST}:{port},PROXIED://{HOST}:{inner},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},PROXIED://{HOST}:{proxy.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
    }
