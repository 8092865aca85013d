"""JSON Lines from a file or a pipe, as messages. What does not parse is sent too: to judge is the pipeline's part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from pipeline.telemetry.poison import Message

LONGEST_LINE = 256 * 1024
"""Bytes. What a line has beyond that is cut off, which leaves it too large to be taken for a reading."""
UNKNOWN_KEY = b"unknown"
"""The key of a line that names no device."""
_CHUNK = 256 * 1024


class Readable(Protocol):
    """A binary stream that gives what there is, as `io.BufferedReader` does."""

    def read1(self, size: int, /) -> bytes: ...


class _Keyed(msgspec.Struct):
    device_id: str


def messages_from(stream: Readable) -> Iterator[list[Message]]:
    """Batches of messages, as soon as there are any; memory is bounded, whatever the lines are."""
    rest = b""
    while chunk := stream.read1(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            rest = rest[: LONGEST_LINE + 1]
        if lines:
            yield [_message(line) for line in lines]
    if rest:
        yield [_message(rest)]


def _message(line: bytes) -> Message:
    value = line[:LONGEST_LINE].removesuffix(b"\r")
    return _key_of(value), value


def _key_of(value: bytes) -> bytes:
    """The device id of a line, or UNKNOWN_KEY."""
    try:
        return _DECODER.decode(value).device_id.encode() or UNKNOWN_KEY
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return UNKNOWN_KEY


_DECODER = msgspec.json.Decoder(_Keyed)
