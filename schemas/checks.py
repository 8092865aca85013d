"""What a derived Struct checks beside msgspec: a `__post_init__`, whose ValueError msgspec takes for a refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from schemas.instant import milliseconds

_REMEMBERED: Final = 65_536
"""Texts of one field remembered as admitted: about 8 MB at most."""


class Alphabet(NamedTuple):
    """A text field of these ASCII characters only.

    msgspec's own `pattern` costs 0.5 µs a field, as much as decoding all the rest. Ids repeat, so most often it is
    enough to see that one was admitted before.
    """

    field: str
    characters: bytes

    def source(self, names: dict[str, Any]) -> str:
        names[f"known_{self.field}"] = known = set[str]()
        names[f"admit_{self.field}"] = partial(_admit, self, known)
        value = f"self.{self.field}"
        return f"    if {value} not in known_{self.field}:\n        admit_{self.field}({value})\n"


class Instant(NamedTuple):
    """A field of milliseconds that may have been sent as RFC 3339 text."""

    field: str
    ge: int
    le: int

    def source(self, names: dict[str, Any]) -> str:
        names[f"read_{self.field}"] = partial(_read, self)
        value = f"self.{self.field}"
        return f"    if {value}.__class__ is str:\n        {value} = read_{self.field}({value})\n"


def post_init(checks: Sequence[Alphabet | Instant]) -> Callable[[Any], None]:
    """One function for all checks, its source written out as dataclasses do: a loop over them costs thrice as much."""
    names: dict[str, Any] = {"str": str}
    body = "".join(check.source(names) for check in checks)
    exec(f"def __post_init__(self):\n{body}", names)  # noqa: S102 made of nothing but our own field names
    check: Callable[[Any], None] = names["__post_init__"]
    return check


def _admit(alphabet: Alphabet, known: set[str], text: str) -> None:
    if text.encode().translate(None, alphabet.characters):
        raise ValueError(f"{alphabet.field} has a character outside its alphabet")
    if len(known) >= _REMEMBERED:
        known.clear()
    known.add(text)


def _read(instant: Instant, text: str) -> int:
    read = milliseconds(text)
    if not instant.ge <= read <= instant.le:
        raise ValueError(f"{instant.field} is out of range")
    return read
