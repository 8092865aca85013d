"""Row keys as text in an address: prefixes, and the cursors of lists.

A key of plain characters is its own text (`press-07`); any other byte is written %XX.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from operators.topology import KeyRange

_PLAIN = ":@,=+"


class Cursor(NamedTuple):
    """A place in a list, whose rows are ordered by key and then by partition (a local table repeats its keys)."""

    key: bytes
    partition: int | None
    """None: after this key in every partition."""

    def __str__(self) -> str:
        """Such as `press-07/3`."""
        return quote_from_bytes(self.key, safe=_PLAIN) + ("" if self.partition is None else f"/{self.partition}")

    def start_in(self, partition: int) -> bytes:
        """The least key that comes after this place in that partition."""
        passed = self.partition is None or partition <= self.partition
        return self.key + b"\0" if passed else self.key


def parse_cursor(text: str) -> Cursor:
    """The reverse of `str(Cursor)`; ValueError when it is none. A key alone will do."""
    key, slash, partition = text.partition("/")
    if slash and not (partition.isascii() and partition.isdigit() and len(partition) < 10):
        raise ValueError(f"{text!r} is not the `next` of a list")
    return Cursor(unquote_to_bytes(key), int(partition) if slash else None)


def prefix_range(text: str) -> KeyRange:
    """The keys that begin with this text."""
    prefix = unquote_to_bytes(text)
    stem = prefix.rstrip(b"\xff")
    return KeyRange(prefix, stem[:-1] + bytes([stem[-1] + 1]) if stem else None)


def path_segment(text: str) -> str:
    """A key as one segment of a path. The names `.` and `..` are escaped, or clients would resolve them away."""
    return text.replace(".", "%2E") if text in {".", ".."} else quote(text, safe=_PLAIN)
