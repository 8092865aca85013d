"""A store: one partition's tables on disk, and the position that they equal.

*A store always equals the fold of a prefix of the committed changelog, and it knows which prefix.*
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

FORMAT_VERSION = 1
"""Of a store's files and of its metadata; an older one is rebuilt, a newer one refused."""


class StoreIdentity(msgspec.Struct, frozen=True):
    """Whose store it is. A store with another identity is never written to."""

    application: str
    """Prefix, topology name and stage."""
    topology_version: str
    partition: int
    changelog_topic_ids: dict[str, str]
    """Kafka's topic id of each table's changelog."""
    source_topic_id: str
    format_version: int = FORMAT_VERSION


class Position(msgspec.Struct, frozen=True):
    """Which prefix a store equals."""

    source_next: int = 0
    """The next offset of the source topic to fold."""
    changelog_next: dict[str, int] = {}
    """By table: the next offset of its changelog to apply."""
    applied_at_ms: int = 0
    """Wall clock of the last application, against tombstones that expired while the store was away."""


class Restoring(msgspec.Struct, frozen=True):
    """The mark of a store in mid-restore, which is no prefix of anything."""

    target: dict[str, int]
    """By table: the changelog offset that the restore has to reach."""


@dataclass
class WriteSet:
    """What one commit changes: by table, encoded values, None for a deletion."""

    rows: dict[str, dict[bytes, bytes | None]] = field(default_factory=dict)


class StoreSize(NamedTuple):
    """How large a store is."""

    disk_bytes: int
    keys: dict[str, int]
    """By table; an estimate."""


class Stores(Protocol):
    """Where one worker's stores live, held by it alone until `release`."""

    def open(self, identity: StoreIdentity, tables: Sequence[str]) -> Store:
        """A partition's store as it was left, or a new one. StateForeign when it is another's."""
        ...

    def quarantine(self, partition: int, why: str) -> Path | None:
        """Put a store that cannot be trusted aside; where to, or None if there was none."""
        ...

    def quarantined(self) -> int:
        """How many stores were put aside and still are there."""
        ...

    def release(self) -> None: ...


class StoreView(Protocol):
    """Values and the position they belong to, seen at one instant."""

    @property
    def position(self) -> Position: ...
    @property
    def whole(self) -> bool:
        """Whether they are a prefix: not while the store is in mid-restore."""
        ...

    def get(self, table: str, key: bytes) -> bytes | None: ...

    def scan(self, table: str, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop, in byte order."""
        ...


class Store(Protocol):
    """One partition's state. Values and position move together or not at all.

    One thread writes; any thread may `view`. Values are the changelog's own bytes (sealed, see `envelope`).
    Every method raises StateUnusable when the disk gives what cannot be trusted.
    """

    @property
    def identity(self) -> StoreIdentity: ...
    @property
    def position(self) -> Position: ...
    @property
    def restoring(self) -> Restoring | None: ...

    def get(self, table: str, key: bytes) -> bytes | None: ...
    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]: ...

    def apply(self, writes: WriteSet, position: Position) -> None:
        """Move to `position`: one atomic batch of all tables and the position."""
        ...

    def begin_restore(self, target: Restoring) -> None:
        """Durably mark the store as in mid-restore, before its first restored record."""
        ...

    def restore_rows(self, rows: Mapping[str, Mapping[bytes, bytes | None]], position: Position, *, done: bool) -> None:
        """Take a chunk of changelog (last value per key), with the position it reaches; `done` removes the mark.

        May go around the WAL (sorted SST ingest); a crash in between leaves the mark, and the restore is redone from
        the last durable position.
        """
        ...

    def view(self) -> AbstractContextManager[StoreView]: ...

    def checkpoint(self, directory: Path) -> Position:
        """A synced copy by hard links into a directory that does not exist yet; returns the position it holds."""
        ...

    def sync(self) -> None:
        """Make what was applied survive a power cut."""
        ...

    def size(self) -> StoreSize:
        """What it takes; may be asked from any thread."""
        ...

    def close(self) -> None: ...
