"""A checkpoint on its way from one worker to another: what the donor says of it, and what the receiver believes.

The receiver believes nothing. A file is a kind and a number, from which the receiver makes the name that RocksDB gives
such a file; sizes are bounds, digests are compared, the identity has to be the one that was asked for, and the database
has to open at the position that was promised. All of that happens in a directory that is nobody's store, which gets its
name when everything is so, and is gone when anything is not.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pipeline.errors import StateUnusable
from pipeline.state.api import Position, StoreIdentity
from pipeline.state.identity import sync_directory, write_identity
from pipeline.state.rocks import DATABASE, open_checkpoint
from pipeline.state.rocks_errors import from_os_error

MOST_FILES = 20_000
"""RocksDB's are 64 MB and more, but for the newest."""
BLOCK_BYTES = 1 << 20

Kind = Literal["table", "manifest", "log"]

_NAMES: dict[Kind, str] = {"table": "{:06d}.sst", "manifest": "MANIFEST-{:06d}", "log": "{:06d}.log"}
_PATTERNS: dict[Kind, re.Pattern[str]] = {
    "table": re.compile(r"(\d{6,})\.sst"),
    "manifest": re.compile(r"MANIFEST-(\d{6,})"),
    "log": re.compile(r"(\d{6,})\.log"),
}
_POINTER = "CURRENT"
"""Names the one file of kind `manifest`; made by the receiver."""


class CheckpointFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a database."""

    kind: Kind
    number: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
    size: Annotated[int, msgspec.Meta(ge=0, lt=1 << 50)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]

    @property
    def name(self) -> str:
        return _NAMES[self.kind].format(self.number)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a checkpoint is; its files follow in this order."""

    identity: StoreIdentity
    position: Position
    files: Annotated[list[CheckpointFile], msgspec.Meta(min_length=1, max_length=MOST_FILES)]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


def describe(checkpoint: Path, identity: StoreIdentity, position: Position) -> Manifest:
    """Of what `RocksStore.checkpoint` wrote. What RocksDB does not need to open it stays at home."""
    files = []
    for path in sorted((checkpoint / DATABASE).iterdir()):
        for kind, pattern in _PATTERNS.items():
            if found := pattern.fullmatch(path.name):
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                files.append(CheckpointFile(kind, int(found[1]), path.stat().st_size, sha256))
    return Manifest(identity, position, files)


def blocks(checkpoint: Path, manifest: Manifest) -> Iterator[bytes]:
    """The bytes of all files, one after the other."""
    for each in manifest.files:
        with (checkpoint / DATABASE / each.name).open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block


def check_manifest(manifest: Manifest, expected: StoreIdentity, room: int) -> None:
    """StateUnusable for what this worker did not ask for, or that cannot be a store. `room`: bytes there may be."""
    if manifest.identity != expected:
        raise StateUnusable("the checkpoint is of another store", found=manifest.identity, expected=expected)
    names = [file.name for file in manifest.files]
    if len(set(names)) != len(names) or sum(file.kind == "manifest" for file in manifest.files) != 1:
        raise StateUnusable("the checkpoint's files are no database", files=len(names))
    if manifest.bytes > room:
        raise StateUnusable("the checkpoint is larger than the room for it", bytes=manifest.bytes, room=room)


def receive(manifest: Manifest, body: Iterable[bytes], into: Path, tables: Sequence[str]) -> None:
    """Write the files of a checked manifest as they come, to `into`, which does not exist.

    StateUnusable when anything is not as the manifest says, DiskFull and the like from the disk: nothing is left then.
    """
    part = into.with_name(into.name + ".part")
    try:
        database = part / DATABASE
        database.mkdir(mode=0o700, parents=True)
        _write_files(manifest, body, database)
        pointed = next(file.name for file in manifest.files if file.kind == "manifest")
        _write(database / _POINTER, [f"{pointed}\n".encode()])
        sync_directory(database)
        write_identity(part, manifest.identity)
        with open_checkpoint(part, tables) as view:  # refuses one in mid-restore
            if view.position != manifest.position:
                raise StateUnusable("the checkpoint is of another position", position=view.position.source_next)
        part.rename(into)
        sync_directory(into.parent)
    except OSError as error:
        raise from_os_error(error, part) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_files(manifest: Manifest, body: Iterable[bytes], database: Path) -> None:
    stream = _Stream(body)
    for each in manifest.files:
        sha256 = hashlib.sha256()

        def hashed(file: CheckpointFile = each, sha256: hashlib._Hash = sha256) -> Iterator[bytes]:
            for piece in stream.take(file.size):
                sha256.update(piece)
                yield piece

        _write(database / each.name, hashed())
        if sha256.hexdigest() != each.sha256:
            raise StateUnusable("a file of the checkpoint is not what was promised", file=each.name)
    if stream.more():
        raise StateUnusable("more came than the checkpoint holds")


class _Stream:
    """Blocks of any size, taken by the byte."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = b""

    def take(self, size: int) -> Iterator[bytes]:
        """Pieces of exactly so many bytes in all; StateUnusable when they do not come."""
        while size:
            block = self._rest or next(self._blocks, b"")
            if not block:
                raise StateUnusable("the checkpoint was cut off", missing=size)
            piece, self._rest = block[:size], block[size:]
            size -= len(piece)
            yield piece

    def more(self) -> bool:
        return bool(self._rest or next(self._blocks, b""))


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Durably."""
    with path.open("xb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
