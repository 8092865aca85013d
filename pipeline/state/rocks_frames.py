"""A look at the database's logs before RocksDB reads them.

RocksDB's reader (seen with 9.8.4) goes round for ever, under the GIL, on a MANIFEST in which a record's type was
flipped to one of those that only reused log files have. Logs are not reused here, so such a type is damage.
Format: "Write Ahead Log File Format" in RocksDB's wiki; the MANIFEST is written in the same.
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct

from pipeline.errors import StateUnusable

_BLOCK_BYTES = 32_768
_HEADER = Struct("<IHB")
"""Checksum, length of the payload, type."""
_TYPES_OF_REUSED_LOGS = frozenset({5, 6, 7, 8})


def check_frames(database: Path) -> None:
    """Raises StateUnusable for a log that RocksDB must not read, and OSError for one that cannot be read at all."""
    for path in [*database.glob("MANIFEST-*"), *database.glob("*.log")]:
        if _TYPES_OF_REUSED_LOGS & _types(path.read_bytes()):
            raise StateUnusable("a log of the database is damaged", file=path)


def _types(log: bytes) -> set[int]:
    """The types of its records, as far as they can be followed."""
    types = set()
    for start in range(0, len(log), _BLOCK_BYTES):
        at, end = start, min(start + _BLOCK_BYTES, len(log))
        while at + _HEADER.size <= end:
            _, length, kind = _HEADER.unpack_from(log, at)
            types.add(kind)
            if kind == 0:  # the rest of the block was never written
                break
            at += _HEADER.size + length
    return types
