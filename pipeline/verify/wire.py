"""What the worker asks of the verifying process, and what that answers: JSON lines both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.state.api import Position, StoreIdentity


class Setup(msgspec.Struct, frozen=True):
    """The first line to the verifying process."""

    settings: dict[str, Any]
    """Of `pipeline.settings.Settings`."""
    stage: str


class Request(msgspec.Struct, frozen=True):
    """Each further line: one partition to prove."""

    checkpoint: str
    """What `Store.checkpoint` made."""
    scratch: str
    """A directory to work in; whoever asks removes it."""
    identity: StoreIdentity
    position: Position
    from_source: bool = False
    """Fold the source with the operators, rather than the changelogs."""


class Progress(msgspec.Struct, frozen=True):
    """How far a fold is, in offsets of all the topics that it reads."""

    partition: int
    done: int
    end: int
    rate: float
    """Records a second since the fold began."""


class Difference(msgspec.Struct, frozen=True):
    """A row on which the store and the replay disagree."""

    table: str
    key: str
    what: str
    """`only in the store`, `only in the replay` or `other value`."""


class Verdict(msgspec.Struct, frozen=True):
    """What came out for one partition."""

    partition: int
    position: int
    """The next source offset of what was compared."""
    digest: str
    """The store's; again as `digest_store`."""
    digest_store: str
    digest_replay: str | None
    """None when the log could not be folded."""
    equal: bool
    provable: bool
    """Whether the log still holds what a proof needs; when not, `equal` is false and proves nothing."""
    why: str
    """What the log lacks; empty when provable."""
    differing_keys: list[Difference]
    """The first few; none when the log could not be folded."""
    records: int
    """How many were folded."""
    seconds: float


class Failure(msgspec.Struct, frozen=True):
    """The verifying process could not go on."""

    error: str
    hint: str
