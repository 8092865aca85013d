"""A Redis to measure with: the one that is named, else one of our own."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pipeline.broker.config import HOST
from pipeline.broker.ports import free_port
from pipeline.broker.process import SupervisedProcess
from pipeline.errors import PipelineError, Retryable
from pipeline.rehearsal.disk import directory_bytes
from pipeline.rehearsal.ground import Ground
from pipeline.tradeoff.redis_rows import RedisRows

START_S: Final = 60.0
IMAGE: Final = "redis:7"
_DURABLE: Final = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
"""What state needs that nobody else keeps: every write is in the file before it is answered. With `everysec` the
answer may come first, and a kill lose what the source's offsets say was folded."""


def how_to_get_one(url: str | None) -> str | None:
    """What is missing to measure with Redis, and where it comes from; None when it is all there."""
    if find_spec("redis") is None:
        return "its client is not installed: pip install '.[tradeoff]' in the clone"
    if url is None and shutil.which("redis-server") is None and shutil.which("docker") is None:
        return "there is none: apt-get install redis-server (or brew install redis), or set STATELOG_REDIS_URL"
    return None


class OwnRedis:
    """A Redis on loopback, of this process: it ends with it. Its files outlive `kill`, and go with the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.files = directory / "redis"
        self.files.mkdir()
        self._port = free_port()
        self.url = f"redis://{HOST}:{self._port}/0"
        self._container: str | None = None
        self._process: SupervisedProcess | None = None

    def start(self) -> None:
        """Raises PipelineError when it ends by itself, Retryable when it does not answer in time."""
        output = self._directory / "redis.log"
        self._process = SupervisedProcess(self._command(), output=output, orphan_directory=self._directory)
        rows = RedisRows(self.url, "")
        give_up = time.monotonic() + START_S
        try:
            while True:
                try:
                    rows.ping()
                except Retryable:
                    if time.monotonic() > give_up:
                        raise
                else:
                    return
                if not self._process.alive():
                    tail = output.read_text(errors="replace")[-500:] if output.exists() else ""
                    raise PipelineError("redis-server ended by itself", hint=tail)
                time.sleep(0.02)
        finally:
            rows.close()

    def _command(self) -> Sequence[str]:
        if shutil.which("redis-server") is not None:
            return ["redis-server", "--bind", HOST, "--port", str(self._port), "--dir", str(self.files), *_DURABLE]
        self._container = f"statelog-{uuid.uuid4().hex[:8]}"
        return ["docker", "run", "--rm", "--name", self._container, "--publish", f"{HOST}:{self._port}:6379",
                "--volume", f"{self.files}:/data", IMAGE, "redis-server", *_DURABLE]  # fmt: skip

    def kill(self) -> None:
        """SIGKILL: nothing is flushed."""
        if self._process is None:
            return
        if self._container is not None:
            # The client that runs in the foreground is only its mouthpiece.
            command = ["docker", "kill", self._container]
            SupervisedProcess(command, output=self._directory / "docker.log", orphan_directory=None).wait()
        self._process.kill()
        self._process = None


@contextmanager
def own_redis(directory: Path) -> Iterator[OwnRedis]:
    """One that runs until the block is left. Raises as its `start` does."""
    server = OwnRedis(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()


class Redis:
    """The Redis of one place, and what it tells of itself."""

    def __init__(self, url: str, prefix: str, server: OwnRedis | None) -> None:
        """`server`: none where it is somebody else's."""
        self.url = url
        self.server = server
        self._rows = RedisRows(url, prefix)

    def traffic_bytes(self) -> int:
        """What all its clients have sent and received, this look included."""
        info = self._rows.info()
        return int(info["total_net_input_bytes"]) + int(info["total_net_output_bytes"])

    def memory_bytes(self) -> int:
        return int(self._rows.info()["used_memory_rss" if self.server is not None else "used_memory"])

    def file_bytes(self) -> int | None:
        """None where its disk is not seen."""
        return None if self.server is None else directory_bytes(self.server.files)

    def leave(self, tables: Iterable[str]) -> None:
        """Delete what was written under this prefix; the files of one of our own go with it."""
        if self.server is None:
            self._rows.delete(tables)
        self._rows.close()


@contextmanager
def redis_for(url: str | None, ground: Ground) -> Iterator[Redis]:
    """The one that is named, else one of our own. Raises as `OwnRedis.start`."""
    with ExitStack() as stack:
        server = None
        if url is None:
            server = stack.enter_context(own_redis(ground.directory))
            url = server.url
        redis = Redis(url, ground.settings.prefix, server)
        stack.callback(redis.leave, [table.name for table in ground.stage.tables])
        yield redis
