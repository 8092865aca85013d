"""Durations and instants, as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pipeline.errors import Misconfigured

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM = re.compile(r"(\d+)(ms|s|m|h|d)")


def milliseconds(text: str) -> int:
    """`7d`, `12h`, `30m`, `90s`, `500ms`; `forever` is -1. Raises Misconfigured."""
    if text == "forever":
        return -1
    found = _FORM.fullmatch(text)
    if found is None:
        raise Misconfigured(f"{text!r} is no duration", hint="a number and ms, s, m, h or d, as in 7d; or forever")
    return int(found[1]) * _UNITS_MS[found[2]]


def instant_ms(text: str) -> int:
    """Milliseconds since the epoch, RFC 3339 (UTC where it names no zone), or `now`. Raises Misconfigured."""
    if text == "now":
        return int(datetime.now(UTC).timestamp() * 1000)
    if text.isdecimal():
        return int(text)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misconfigured(
            f"{text!r} is no instant", hint="ms since 1970, RFC 3339 as in 2025-01-01T00:00:00Z, or now"
        ) from error
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
