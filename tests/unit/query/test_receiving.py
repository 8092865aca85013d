"""A checkpoint from a peer that lies: whatever is not as it should be is refused, and leaves nothing on the disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.client_id import ClientId
from pipeline.errors import PipelineError
from pipeline.log.api import Member
from pipeline.query.directory import Directory
from pipeline.query.receiving import TIMES_ASKED, PeerCheckpoints
from pipeline.query.wire import StandbyRow, StatusReport, encode
from pipeline.state.api import Position, Restoring, StoreIdentity, WriteSet
from pipeline.state.envelope import seal
from pipeline.state.rocks import RocksStore, open_checkpoint
from pipeline.state.rocks_transfer import blocks, describe

TABLES = ["words", "counts"]
IDENTITY = StoreIdentity("words-count", "1", 0, {table: f"id-{table}" for table in TABLES}, "id-in")
POSITION = Position(700, {"words": 900, "counts": 100}, 1_000)
ROWS = {b"%04d" % number: seal(b"x" * 100) for number in range(2_000)}

Document = dict[str, Any]
Forge = Callable[[Document, bytes], tuple[Document, bytes]]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, bytes]:
    """A manifest and the files that it tells of."""
    directory = tmp_path_factory.mktemp("donor")
    store = RocksStore.open(directory / "0", IDENTITY, TABLES)
    store.apply(WriteSet({"words": dict(ROWS), "counts": {b"all": seal(b"2000")}}), POSITION)
    store.checkpoint(directory / "checkpoint")
    store.close()
    manifest = describe(directory / "checkpoint", IDENTITY, POSITION)
    return json.loads(encode(manifest)), b"".join(blocks(directory / "checkpoint", manifest))


class _Donor(ThreadingHTTPServer):
    """Says that it has a standby, and gives what it is told to."""

    daemon_threads = True

    def __init__(self, line: bytes, body: bytes, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.line, self.body, self.status = line, body, status
        self.asked: list[str] = []


class _Answers(BaseHTTPRequestHandler):
    server: _Donor

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/v1/status":
            row = StandbyRow(0, "donor", False, 700, 700, 1_000)
            self._send(200, encode(StatusReport([], [row])))
        elif self.server.status != 200:
            problem = {"type": "x", "title": "x", "status": self.server.status, "detail": "not now"}
            self._send(self.server.status, encode(problem))
        else:
            self._send(200, self.server.line + b"\n" + self.server.body)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Not worth a line."""


@contextmanager
def donor(line: bytes, body: bytes, status: int = 200) -> Iterator[tuple[PeerCheckpoints, _Donor]]:
    server = _Donor(line, body, status)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    members = [
        Member(str(ClientId("donor", f"127.0.0.1:{server.server_port}")), ()),
        Member("statelog;me;127.0.0.1:1", ()),
    ]
    try:
        yield PeerCheckpoints(Directory(lambda: members, "in", 1), "me", TABLES), server
    finally:
        server.shutdown()
        server.server_close()


def test_an_honest_checkpoint_is_the_store(honest: tuple[Document, bytes], tmp_path: Path) -> None:
    document, body = honest
    into = tmp_path / "0"
    with donor(json.dumps(document).encode(), body) as (peers, _):
        assert peers.fetch(IDENTITY, 500, into) == POSITION
    assert {path.name for path in tmp_path.iterdir()} == {"0"}
    with open_checkpoint(into, TABLES) as view:
        assert view.position == POSITION
        assert dict(view.scan("words")) == ROWS
    store = RocksStore.open(into, IDENTITY, TABLES)
    assert store.identity == IDENTITY
    store.close()


def test_a_peer_that_is_not_far_enough_is_not_asked(honest: tuple[Document, bytes], tmp_path: Path) -> None:
    document, body = honest
    with donor(json.dumps(document).encode(), body) as (peers, server):
        assert peers.fetch(IDENTITY, 1_001, tmp_path / "0") is None
        assert server.asked == ["/v1/status"] * TIMES_ASKED


def _changed(path: tuple[str | int, ...], value: Any) -> Forge:
    def forge(document: Document, body: bytes) -> tuple[Document, bytes]:
        document = json.loads(json.dumps(document))
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        return document, body

    return forge


def _files(change: Callable[[list[Document]], list[Document]]) -> Forge:
    return lambda document, body: (document | {"files": change([dict(each) for each in document["files"]])}, body)


def _body(change: Callable[[bytes], bytes]) -> Forge:
    return lambda document, body: (document, change(body))


def _flipped(body: bytes) -> bytes:
    return body[:1_000] + bytes([body[1_000] ^ 1]) + body[1_001:]


def _sized(by: int) -> Forge:
    return _files(lambda files: [files[0] | {"size": files[0]["size"] + by}, *files[1:]])


FORGED: dict[str, Forge] = {
    "a size too small": _sized(-1),
    "a size too large": _sized(1),
    "a size below nothing": _changed(("files", 0, "size"), -1),
    "more than the disk holds": _changed(("files", 0, "size"), 1 << 49),
    "a wrong digest": _changed(("files", 0, "sha256"), "0" * 64),
    "a digest that is none": _changed(("files", 0, "sha256"), "../../etc/passwd"),
    "a flipped bit": _body(_flipped),
    "a body that is cut": _body(lambda body: body[:-1]),
    "no body": _body(lambda _: b""),
    "a body too long": _body(lambda body: body + b"x"),
    "a name that is a path": _changed(("files", 0, "name"), "../../outside.sst"),
    "a kind that is a path": _changed(("files", 0, "kind"), "../../outside"),
    "a number that is a path": _changed(("files", 0, "number"), "../../outside"),
    "a number below nothing": _changed(("files", 0, "number"), -1),
    "a number without end": _changed(("files", 0, "number"), 1 << 63),
    "the same file twice": _files(lambda files: [files[0], *files]),
    "no files": _changed(("files",), []),
    "too many files": _files(lambda files: [files[0] | {"number": number} for number in range(20_001)]),
    "no manifest of the database": _files(lambda files: [each for each in files if each["kind"] != "manifest"]),
    "files of other numbers": _files(lambda files: [each | {"number": each["number"] + 1} for each in files]),
    "another application": _changed(("identity", "application"), "words-other"),
    "an application that is a path": _changed(("identity", "application"), "../../outside"),
    "another partition": _changed(("identity", "partition"), 1),
    "another version of the topology": _changed(("identity", "topology_version"), "2"),
    "another format": _changed(("identity", "format_version"), 99),
    "another source": _changed(("identity", "source_topic_id"), "id-other"),
    "another changelog": _changed(("identity", "changelog_topic_ids", "words"), "id-other"),
    "another position": _changed(("position", "changelog_next", "words"), 901),
    "a position behind the offer": _changed(("position", "changelog_next", "words"), 1),
    "an unknown field": _changed(("mode",), "0777"),
}  # fmt: skip


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_checkpoint_is_refused_and_leaves_nothing(
    honest: tuple[Document, bytes], tmp_path: Path, forge: Forge
) -> None:
    document, body = forge(*honest)
    disk = tmp_path / "disk"
    disk.mkdir()
    with donor(json.dumps(document).encode(), body) as (peers, server):
        with pytest.raises(PipelineError):
            peers.fetch(IDENTITY, 500, disk / "0")
        assert server.asked == ["/v1/status", "/v1/checkpoint/0"]
    assert not list(disk.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"\xff\xfe", b"x" * (9 << 20)], ids=["empty", "cut", "list", "text", "long"]
)
def test_a_line_that_is_no_manifest_is_refused(tmp_path: Path, line: bytes) -> None:
    with donor(line, b"") as (peers, _), pytest.raises(PipelineError):
        peers.fetch(IDENTITY, 500, tmp_path / "0")
    assert not list(tmp_path.iterdir())


def test_a_peer_that_refuses_says_why(tmp_path: Path) -> None:
    with donor(b"", b"", status=503) as (peers, _), pytest.raises(PipelineError, match="not now"):
        peers.fetch(IDENTITY, 500, tmp_path / "0")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_a_store_in_mid_restore_is_refused(tmp_path: Path) -> None:
    """No donor gives one; one that does is found out when the database is opened."""
    store = RocksStore.open(tmp_path / "store", IDENTITY, TABLES)
    store.apply(WriteSet({"words": dict(ROWS)}), POSITION)
    store.begin_restore(Restoring({"words": 2_000}))
    store.close()
    manifest = describe(tmp_path / "store", IDENTITY, POSITION)
    body = b"".join(blocks(tmp_path / "store", manifest))
    disk = tmp_path / "disk"
    disk.mkdir()
    with donor(msgspec.json.encode(manifest), body) as (peers, _), pytest.raises(PipelineError, match="mid-restore"):
        peers.fetch(IDENTITY, 500, disk / "0")
    assert not list(disk.iterdir())
