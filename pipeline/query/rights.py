"""What the holder of a token may ask, in words that stand in a file or in a JSON Web Token.

status              what workers do with their partitions, and why one is not ready
metrics             Prometheus
verify              proofs, which read a whole log and name the keys that differ
checkpoint          whole stores: for workers alone
read:TABLE          a table; read:* all of them
read:TABLE:PREFIX   its rows whose keys begin with that; bytes that are no plain characters are written %XX
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_to_bytes


class Right(StrEnum):
    STATUS = "status"
    METRICS = "metrics"
    VERIFY = "verify"
    CHECKPOINT = "checkpoint"


READ = "read"
EVERY_TABLE = "*"

_READ = re.compile(r"read:(?P<table>\*|[A-Za-z0-9._-]+)(?::(?P<prefix>[\x21-\x7e]+))?")


@dataclass(frozen=True)
class Reading:
    """Rows of a table, or of every one, whose keys begin with `prefix`."""

    table: str
    prefix: bytes = b""

    def covers(self, table: str, prefix: bytes) -> bool:
        return self.table in {EVERY_TABLE, table} and prefix.startswith(self.prefix)


@dataclass(frozen=True)
class Rights:
    """What somebody may ask."""

    named: frozenset[Right] = frozenset()
    readings: frozenset[Reading] = frozenset()

    def may(self, right: Right) -> bool:
        return right in self.named

    def may_read(self, table: str, prefix: bytes) -> bool:
        """Every row of that table whose key begins with `prefix`; all of its rows where that is empty."""
        return any(each.covers(table, prefix) for each in self.readings)


NOTHING = Rights()
EVERYTHING = Rights(frozenset(Right), frozenset({Reading(EVERY_TABLE)}))


def parse_scope(text: str) -> Right | Reading:
    """ValueError for a word that is none. An empty prefix is none: it would be the whole table, by a mistake."""
    if found := _READ.fullmatch(text):
        return Reading(found["table"], unquote_to_bytes(found["prefix"] or ""))
    return Right(text)


def rights_of(scopes: Iterable[str]) -> Rights:
    """ValueError as with `parse_scope`."""
    parsed = [parse_scope(each) for each in scopes]
    return Rights(
        frozenset(each for each in parsed if isinstance(each, Right)),
        frozenset(each for each in parsed if isinstance(each, Reading)),
    )
