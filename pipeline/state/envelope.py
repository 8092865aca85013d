"""The bytes of a value, in the changelog and in the store alike: a version, a checksum, the payload.

Kafka's and RocksDB's own checksums cover their parts of the way; this one covers all of it, so that a value that was
cut or flipped anywhere is found when it is read, and never folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from zlib import crc32

from pipeline.errors import StateUnusable

VERSION = 1
"""First byte of every sealed value; another one was sealed by other software."""

_HEADER = Struct(">BI")


def seal(payload: bytes) -> bytes:
    """Version byte, CRC-32 (zlib's, big endian), payload. Equal payloads give equal bytes."""
    return _HEADER.pack(VERSION, crc32(payload)) + payload


def unseal(data: bytes) -> bytes:
    """The payload; StateUnusable for anything that `seal` did not make."""
    payload = data[_HEADER.size :]
    if data[: _HEADER.size] != _HEADER.pack(VERSION, crc32(payload)):
        raise StateUnusable(_what_is_wrong(data), hint="rebuild the state; see `statelog rebuild`", bytes=len(data))
    return payload


def damaged_key(rows: Mapping[bytes, bytes | None]) -> bytes | None:
    """The first key whose value `unseal` would refuse; None when all are whole. For many rows: half of its time."""
    header_of, size, version = _HEADER.unpack_from, _HEADER.size, VERSION
    for key, data in rows.items():
        if data is not None and (len(data) < size or header_of(data) != (version, crc32(data[size:]))):
            return key
    return None


def _what_is_wrong(data: bytes) -> str:
    if len(data) < _HEADER.size:
        return "a sealed value is cut short"
    if data[0] != VERSION:
        return f"a sealed value has version {data[0]}, this program reads version {VERSION}"
    return "a sealed value does not match its checksum"
