"""One number for a state: equal digests, equal states."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from struct import Struct

from pipeline.state.api import StoreView

_LENGTH = Struct(">I")
_ROWS_AT_A_TIME = 1_000


def digest(view: StoreView, tables: Iterable[str]) -> str:
    """SHA-256, in hex, over (table, key, value) of every row; tables by name, keys in byte order.

    Each of the three goes in as its length (4 bytes, big endian) and its bytes. Values are the sealed bytes, so a
    changelog digests without decoding. Positions and marks are left out: they say how far, not what.
    """
    total = hashlib.sha256()
    length = _LENGTH.pack
    for table in sorted(tables):
        name = table.encode()
        prefix = length(len(name)) + name
        parts: list[bytes] = []
        for key, value in view.scan(table):
            parts += (prefix, length(len(key)), key, length(len(value)), value)
            if len(parts) >= 5 * _ROWS_AT_A_TIME:
                total.update(b"".join(parts))
                parts.clear()
        total.update(b"".join(parts))
    return total.hexdigest()
