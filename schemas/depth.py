"""How deep JSON is nested, told without parsing it."""

from __future__ import annotations

import re
from typing import Final

_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Possessive, and content with a string that never ends: linear in the length, whatever the bytes."""
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(code for code in range(256) if code not in b"[]{}")


def deeper_than(data: bytes, levels: int) -> bool:
    """Whether `data` nests objects and arrays more than `levels` deep, brackets inside strings not counted.

    Exact for JSON; brackets that do not match, which no JSON has, may count as too deep.
    """
    if data.count(b"{") + data.count(b"[") <= levels:
        return False
    brackets = _STRINGS.sub(b"", data).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
