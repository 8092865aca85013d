"""The 24 kinds of poison message, each with the contract's verdict: refused under a reason, or accepted all the same.

Hand-written bytes: what goes wrong on the way to JSON cannot be written with a JSON library.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from typing import Final, NamedTuple


class Poison(NamedTuple):
    """One message of one kind. An accepted one is a reading of `device_id`, metric `poison`, value `value_is`."""

    kind: str
    key: bytes | None
    value: bytes | None
    reason: str | None
    """The reason of its refusal; None when the contract says that it is accepted."""
    value_is: float | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class _Maker(NamedTuple):
    device_id: str
    event_time: int
    random: random.Random

    @property
    def key(self) -> bytes:
        return self.device_id.encode()

    def json(self, **changes: str) -> bytes:
        """A good message, fields written over or left out (an empty text); each is JSON already, or meant not to be."""
        fields = {
            "device_id": f'"{self.device_id}"',
            "metric": '"poison"',
            "value": "21.5",
            "unit": '"V"',
            "event_time": str(self.event_time),
            **changes,
        }
        return ("{" + ", ".join(f'"{name}": {text}' for name, text in fields.items() if text) + "}").encode()

    def refused(self, kind: str, reason: str, value: bytes | None) -> Poison:
        return Poison(kind, self.key, value, reason)

    def accepted(self, kind: str, value: bytes, value_is: float = 21.5) -> Poison:
        return Poison(kind, self.key, value, None, value_is)


def _negative_or_future(make: _Maker) -> Poison:
    kind = "negative or far-future time"
    if make.random.random() < 0.5:
        return make.refused(kind, "negative-time", make.json(event_time=str(-make.random.randrange(1, 10**12))))
    ahead_ms = 5 * 60_000 + make.random.randrange(1, 10**9)
    return make.refused(kind, "future", make.json(event_time=str(make.event_time + ahead_ms)))


def _gzip_bomb(make: _Maker) -> bytes:
    """Ten megabytes of spaces around a reading, in ten kilobytes."""
    return gzip.compress(b" " * 10_000_000 + make.json(), mtime=0)


def _truncated(make: _Maker) -> bytes:
    good = make.json()
    return good[: make.random.randrange(1, len(good))]


_MAKERS: Final[dict[str, Callable[[_Maker, str], Poison]]] = {
    "empty": lambda make, kind: make.refused(kind, "empty", b""),
    "null value": lambda make, kind: make.refused(kind, "null-value", None),
    "null key": lambda make, kind: Poison(kind, None, make.json(), "null-key"),
    "not UTF-8": lambda make, kind: make.refused(
        kind, "not-utf8", make.json(tags='{"site": "mal"}').replace(b"mal", b"mal\xf6")
    ),
    "byte order mark": lambda make, kind: make.refused(kind, "byte-order-mark", b"\xef\xbb\xbf" + make.json()),
    "truncated": lambda make, kind: make.refused(kind, "not-json", _truncated(make)),
    "nested 10,000 deep": lambda make, kind: make.refused(
        kind, "not-json", make.json(tags="[" * 10_000 + "]" * 10_000)
    ),
    "duplicate keys": lambda make, kind: make.accepted(kind, make.json(value='true, "value": 17, "value": 18.5'), 18.5),
    "NaN or Infinity": lambda make, kind: make.refused(
        kind, "out-of-range", make.json(value=make.random.choice(["NaN", "Infinity", "-Infinity"]))
    ),
    "10^400": lambda make, kind: make.refused(
        kind, "out-of-range", make.json(value=make.random.choice(["1e400", "1" + "0" * 400]))
    ),
    "minus zero": lambda make, kind: make.accepted(
        kind, make.json(value=make.random.choice(["-0", "-0.0", "-0e7"])), 0.0
    ),
    "bool for a number": lambda make, kind: make.refused(
        kind, "wrong-type", make.json(**{make.random.choice(["value", "event_time", "seq"]): "true"})
    ),
    "string for a number": lambda make, kind: make.refused(kind, "wrong-type", make.json(value='"21.5"')),
    "huge string": lambda make, kind: make.refused(
        kind, "too-large", make.json(tags='{"site": "' + "x" * 100_000 + '"}')
    ),
    "lone surrogate": lambda make, kind: make.refused(kind, "lone-surrogate", make.json(device_id='"press-\\ud83d"')),
    "another version": lambda make, kind: make.accepted(kind, make.json(version="99")),
    "missing field": lambda make, kind: make.refused(
        kind,
        "missing-field",
        make.json(**{make.random.choice(["device_id", "metric", "value", "unit", "event_time"]): ""}),
    ),
    "extra field": lambda make, kind: make.accepted(
        kind, make.json(firmware='{"name": "a}]{[b", "parts": [1, null, {}]}')
    ),
    "another device in the key": lambda make, kind: Poison(kind, make.key + b"x", make.json(), "wrong-key"),
    "control characters in the id": lambda make, kind: make.refused(
        kind,
        "invalid-id",
        make.json(device_id=make.random.choice(['"press\\u0000"', '"press\\n"', '"\\u001b[31mpress"'])),
    ),
    "negative or far-future time": lambda make, _: _negative_or_future(make),
    "unknown unit": lambda make, kind: make.refused(kind, "unknown-unit", make.json(unit='"flurb"')),
    "oversize header": lambda make, kind: make.accepted(kind, make.json())._replace(
        headers=(("trace", b"x" * 100_000),)
    ),
    "gzip bomb": lambda make, kind: make.refused(kind, "not-utf8", _gzip_bomb(make)),
}

KINDS: Final = tuple(_MAKERS)


def poison(kind: str, device_id: str, event_time: int, seed: int) -> Poison:
    """A message of this kind, for the Kafka timestamp `event_time`; the same arguments give the same bytes."""
    return _MAKERS[kind](_Maker(device_id, event_time, random.Random(f"{kind} {device_id} {seed}")), kind)
