"""The fields that cross boundaries, with their bounds: the one place where a bound is written down."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MAX_MESSAGE_BYTES = 64 * 1024
MAX_DEPTH = 8
"""Levels of objects and arrays; the message itself is the first."""
MAX_VALUE = 1e15
"""Greatest |value|, in the canonical unit. Doubles hold every whole number up to nine times that."""
MAX_TIME_MS = 253_402_300_799_999
"""The last millisecond that RFC 3339 can write, 9999-12-31T23:59:59.999Z."""
MAX_SEQ = 2**53 - 1
"""The greatest whole number that every JSON reader keeps exactly (RFC 7493)."""

DeviceId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
Metric = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z0-9_]+$")]
Unit = Annotated[str, Field(min_length=1, max_length=32)]
Milliseconds = Annotated[int, Field(ge=0, le=MAX_TIME_MS, description="ms since the epoch, UTC")]
Seq = Annotated[int, Field(ge=0, le=MAX_SEQ, description="rises per device and metric")]
TagName = Annotated[str, Field(min_length=1, max_length=64)]
TagText = Annotated[str, Field(max_length=256)]
Tags = Annotated[dict[TagName, TagText], Field(max_length=16)]
TopicId = Annotated[str, Field(min_length=1, max_length=64)]
Partition = Annotated[int, Field(ge=0, le=2**31 - 1)]
Offset = Annotated[int, Field(ge=0, le=MAX_SEQ, description="a Kafka offset")]
Count = Annotated[int, Field(ge=0)]
