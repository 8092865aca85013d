"""How what an aggregate stage refused comes back."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from operators.api import Record, Refusal
from schemas.dead_letter import DeadLetter


class Entry(msgspec.Struct, frozen=True):
    """A record to be sent to a topic named without the pipeline's prefix."""

    topic: str
    key: bytes | None
    value: bytes | None


class Redrive(Protocol):
    """What `statelog dead-letters redrive` has to know of an aggregate stage."""

    table: str
    """The one of the stage's tables that tells what a key has folded; its rows are found by the records' key."""

    def entry(self, letter: DeadLetter) -> Entry | Refusal:
        """The record by which something that the stage refused comes back, or why it never can."""
        ...

    def newer(self, record: Record, row: Any) -> str | Refusal | None:
        """What the row of the record's key, as its table's `show` gives it, has folded that is newer; None for nothing.

        A Refusal where the stage, as its row stands, refuses the record again.
        """
        ...
