"""A TCP proxy before a broker, which reads enough of Kafka's frames to lose, on purpose, what a test wants lost.

It is a process of its own, so that it is as quick as a network whatever the test does meanwhile. Orders come on its
standard input, a JSON object a line; each is answered, once it is carried out, with what was counted so far.
"""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Self, cast

from pipeline.broker.config import HOST
from pipeline.broker.ports import free_port

END_TXN = 26
"""Kafka's number of the request that ends a transaction."""

_SIZE = struct.Struct(">i")
_REQUEST = struct.Struct(">hhi")
"""Which request, its version, and the number by which the answer will name it."""
_ANSWER = struct.Struct(">i")


class Network(StrEnum):
    """What the proxy does with what it is given."""

    WHOLE = "passes everything on"
    REFUSING = "closes every connection, at once"
    SILENT = "takes everything, passes nothing on, and closes nothing"
    ONE_WAY = "passes requests on, and no answer, and closes nothing"


@dataclass
class Counts:
    swallowed_bytes: int = 0
    closed: int = 0
    """Connections that were closed or not taken."""
    lost_answers: int = 0
    """Or late ones."""


class Proxy:
    """Use it in a `with`; clients connect to `port`, and it leads to `upstream`. Not for several threads at once."""

    def __init__(self) -> None:
        self.port = free_port()
        self.upstream = free_port()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.proxy", str(self.port), str(self.upstream)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._orders = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        self.counts()  # it listens
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.close()
        self._process.wait(30)
        self._answers.close()

    def counts(self) -> Counts:
        return self._order()

    def _order(self, **order: object) -> Counts:
        self._orders.write(json.dumps(order).encode() + b"\n")
        self._orders.flush()
        return Counts(**json.loads(self._answers.readline()))

    @contextmanager
    def network(self, state: Network) -> Iterator[None]:
        """For as long as the block runs. At its end all connections are closed: what a silence swallowed cannot be made
        good.
        """
        self._order(network=state)
        try:
            yield
        finally:
            self._order(network=Network.WHOLE)

    @contextmanager
    def losing_answers(self, api_key: int, *, late_s: float | None = None) -> Iterator[None]:
        """The broker gets these requests and does what they ask; its answers never arrive, or come late."""
        self._order(losing=api_key, late_s=late_s or 0.0)
        try:
            yield
        finally:
            self._order(losing=None)


def behind(proxy: Proxy, port: int) -> dict[str, str]:
    """Settings of a broker that listens on `port` directly, and tells whoever comes through the proxy to stay there."""
    controller = free_port()
    return {
        "listeners": f"PLAINTEXT://{HOST}:{port},PROXIED://{HOST}:{proxy.upstream},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},PROXIED://{HOST}:{proxy.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
    }


class _Server:
    def __init__(self, port: int, upstream: int) -> None:
        self._port = port
        self._upstream = upstream
        self._counts = Counts()
        self._network = Network.WHOLE
        self._losing: int | None = None
        self._late_s = 0.0
        self._open: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        orders = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(orders), cast("Any", sys.stdin)
        )
        async with await asyncio.start_server(self._serve, HOST, self._port):
            while line := await orders.readline():
                self._obey(json.loads(line))
                print(json.dumps(asdict(self._counts)), flush=True)
            self._hang_up()

    def _obey(self, order: dict[str, Any]) -> None:
        if "network" in order:
            self._network = Network(order["network"])
            if self._network not in {Network.SILENT, Network.ONE_WAY}:
                self._hang_up()
        if "losing" in order:
            self._losing, self._late_s = order["losing"], order.get("late_s", 0.0)

    def _hang_up(self) -> None:
        self._counts.closed += len(self._open)
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._network is Network.REFUSING:
                raise ConnectionRefusedError
            of_broker, to_broker = await asyncio.open_connection(HOST, self._upstream)
        except OSError:
            self._counts.closed += 1
            writer.transport.abort()
            return
        asked: deque[int] = deque()
        self._open |= {writer, to_broker}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(reader, to_broker, asked))
                tasks.create_task(self._replies(of_broker, writer, asked))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= {writer, to_broker}
            for each in (writer, to_broker):
                each.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: deque[int]) -> None:
        while True:
            frame = await self._frame(reader, {Network.SILENT})
            api_key, _version, number = _REQUEST.unpack_from(frame, _SIZE.size)
            if api_key == self._losing:
                asked.append(number)
            writer.write(frame)
            await writer.drain()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: deque[int]) -> None:
        while True:
            frame = await self._frame(reader, {Network.SILENT, Network.ONE_WAY})
            (number,) = _ANSWER.unpack_from(frame, _SIZE.size)
            if asked and asked[0] == number:
                asked.popleft()
                self._counts.lost_answers += 1
                if not self._late_s:
                    continue
                await asyncio.sleep(self._late_s)
            writer.write(frame)
            await writer.drain()

    async def _frame(self, reader: asyncio.StreamReader, swallowing: Collection[Network]) -> bytes:
        """The next one that is not swallowed."""
        while True:
            size = await reader.readexactly(_SIZE.size)
            frame = size + await reader.readexactly(_SIZE.unpack(size)[0])
            if self._network not in swallowing:
                return frame
            self._counts.swallowed_bytes += len(frame)


if __name__ == "__main__":
    asyncio.run(_Server(int(sys.argv[1]), int(sys.argv[2])).run())
