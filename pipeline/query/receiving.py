"""Checkpoints from peers: which of them to ask, and what comes over the wire, believed only as far as it is checked."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import msgspec
import structlog

from pipeline.client_id import ClientId
from pipeline.errors import PipelineError, StateUnusable
from pipeline.query.asking import Unavailable, told
from pipeline.query.directory import Directory
from pipeline.query.outgoing import PLAIN, Outgoing
from pipeline.query.wire import CHECKPOINT_PATH, STATUS_PATH, StatusReport
from pipeline.state.api import Position, StoreIdentity
from pipeline.state.rocks_transfer import Manifest, check_manifest, receive

MANIFEST_BYTES = 8 << 20
"""Of the line of JSON, at most."""
ANSWER_TIMEOUT = httpx.Timeout(1.0)
"""For the question who has what: a peer that is slower is no help."""
BODY_TIMEOUT = httpx.Timeout(60.0, connect=1.0)
"""A donor reads its store once before the first byte."""
PATIENCE_S = 60.0
TIMES_ASKED = 4
PAUSE_S = 0.15
_REFUSED = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})
LEAST_BYTES_A_SECOND = 1 << 20
"""Slower than that, after a while, and the changelog is the better way."""

logger = structlog.get_logger(__name__)


class PeerCheckpoints:
    """`pipeline.runtime.fetch.Donors`: the other members of the group. For one thread."""

    def __init__(self, directory: Directory, worker_id: str, tables: Sequence[str], outgoing: Outgoing = PLAIN) -> None:
        self._directory = directory
        self._worker_id = worker_id
        self._tables = tables
        self._outgoing = outgoing

    def fetch(self, identity: StoreIdentity, beyond: int, into: Path) -> Position | None:
        with self._outgoing.client(ANSWER_TIMEOUT) as http:
            failed: PipelineError | None = None
            for worker in self._asked_again(http, identity.partition, beyond):
                try:
                    return self._take(http, worker, identity, beyond, into)
                except PipelineError as error:
                    logger.info("checkpoint refused", worker=worker.worker_id, partition=identity.partition,
                                reason=str(error))  # fmt: skip
                    failed = error
            if failed is not None:
                raise failed
            return None

    def _asked_again(self, http: httpx.Client, partition: int, beyond: int) -> list[ClientId]:
        """A former owner that lives has the best store of all, a moment after it has given the partition back."""
        for _ in range(TIMES_ASKED - 1):
            if offers := self._offers(http, partition, beyond):
                return offers
            time.sleep(PAUSE_S)
        return self._offers(http, partition, beyond)

    def _offers(self, http: httpx.Client, partition: int, beyond: int) -> list[ClientId]:
        """Who says that it has a standby that far, the furthest first."""
        self._directory.doubt()  # the group has just changed
        found = []
        for worker in self._directory.workers():
            if worker.worker_id == self._worker_id or worker.address is None:
                continue
            try:
                answer = http.get(self._outgoing.url(worker.address, STATUS_PATH))
                if answer.status_code in _REFUSED:
                    logger.warning("a peer refuses to be asked by this worker", worker=worker.worker_id,
                                   reason=told(answer).detail)  # fmt: skip
                    continue
                report = msgspec.json.decode(answer.content, type=StatusReport)
            except (httpx.HTTPError, msgspec.MsgspecError, Unavailable) as error:
                logger.debug("a peer does not say what it has", worker=worker.worker_id, reason=type(error).__name__)
                continue
            found += [
                (row.folded, worker)
                for row in report.standbys
                if row.partition == partition and not row.restoring and row.folded >= beyond
            ]
        return [worker for _, worker in sorted(found, reverse=True)]

    def _take(self, http: httpx.Client, worker: ClientId, identity: StoreIdentity, beyond: int, into: Path) -> Position:
        url = self._outgoing.url(str(worker.address), f"{CHECKPOINT_PATH}/{identity.partition}")
        # As it is: a body that is unpacked on the way may be larger than anybody said.
        headers = {"accept-encoding": "identity"}
        try:
            with http.stream("GET", url, headers=headers, timeout=BODY_TIMEOUT) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise Unavailable(told(answer).detail)
                body = _in_time(answer.iter_raw())
                line, rest = _line(body)
                manifest = msgspec.json.decode(line, type=Manifest)
                check_manifest(manifest, identity, shutil.disk_usage(into.parent).free)
                if sum(manifest.position.changelog_next.values()) < beyond:
                    raise StateUnusable("the checkpoint is behind what was offered", position=manifest.position)
                receive(manifest, _joined(rest, body), into, self._tables)
        except httpx.HTTPError as error:
            raise Unavailable(f"the peer broke off: {type(error).__name__}") from error
        except msgspec.MsgspecError as error:
            raise StateUnusable(f"what came is no manifest: {error}") from error
        return manifest.position


def _in_time(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Unavailable for a peer that dawdles."""
    began, received = time.monotonic(), 0
    for block in blocks:
        received += len(block)
        if time.monotonic() - began > PATIENCE_S + received / LEAST_BYTES_A_SECOND:
            raise Unavailable("the peer is too slow", bytes=received)
        yield block


def _line(blocks: Iterator[bytes]) -> tuple[bytes, bytes]:
    """The first line, and what came with it."""
    buffer = b""
    for block in blocks:
        buffer += block
        line, newline, rest = buffer.partition(b"\n")
        if len(line) > MANIFEST_BYTES:
            raise StateUnusable("the manifest has no end", bytes=len(line))
        if newline:
            return line, rest
    raise StateUnusable("the checkpoint was cut off in its manifest")


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
