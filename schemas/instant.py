"""Instants: whole milliseconds since the epoch, or the same as RFC 3339 text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SECONDS: Final = slice(17, 19)


def milliseconds(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 instant, rounded down; negative before 1970.

    As the RFC allows, a space may stand for the T; an offset's colon may be absent, as in ISO 8601's basic form. A
    leap second counts as the second after it, as in POSIX time. Raises ValueError for anything else.
    """
    leap = text[_SECONDS] == "60"
    if leap:
        text = f"{text[: _SECONDS.start]}59{text[_SECONDS.stop :]}"
    instant = msgspec.convert(text, datetime)
    if instant.tzinfo is None:
        raise ValueError("no offset from UTC, so no instant")
    return (instant - _EPOCH) // _MILLISECOND + 1000 * leap


@dataclass(frozen=True)
class OrRfc3339:
    """Marks a field of milliseconds that may also be sent as RFC 3339 text, and is milliseconds once read."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_from_text, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "string", "format": "date-time"}]}


def _from_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return milliseconds(value)
    except ValueError:
        raise PydanticCustomError("rfc3339", "Input should be an instant of RFC 3339, with its offset") from None
