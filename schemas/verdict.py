"""Why bytes are refused, for the person who mends the sender."""

from __future__ import annotations

import codecs
import json
from typing import Any, Final

from pydantic import ValidationError

from schemas.depth import deeper_than
from schemas.fields import MAX_DEPTH, MAX_MESSAGE_BYTES
from schemas.reasons import Reason, SchemaError

_TYPE_ERRORS: Final = frozenset({"string_type", "int_type", "float_type", "dict_type"})
_BOUNDS: Final = {
    "device_id": Reason.INVALID_ID,
    "metric": Reason.INVALID_ID,
    "unit": Reason.INVALID_UNIT,
    "tags": Reason.INVALID_TAGS,
}
"""What a value of the right type, but beyond its field's bounds, is called; of numbers: out of range."""
_TIME_BOUNDS: Final = {
    "rfc3339": Reason.INVALID_TIME,
    "greater_than_equal": Reason.NEGATIVE_TIME,
    "less_than_equal": Reason.FUTURE,
}


def check_bytes(data: bytes) -> None:
    """Raises SchemaError for bytes that must not reach a parser."""
    if not data:
        raise SchemaError(Reason.EMPTY, "no bytes; send one JSON object")
    if len(data) > MAX_MESSAGE_BYTES:
        raise SchemaError(Reason.TOO_LARGE, f"{len(data)} bytes; at most {MAX_MESSAGE_BYTES} are read")
    if data.startswith(codecs.BOM_UTF8):
        raise SchemaError(Reason.BYTE_ORDER_MARK, "a byte order mark before the JSON; send none")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise SchemaError(Reason.NOT_UTF8, f"{error.reason} at byte {error.start}; send UTF-8, uncompressed") from None
    if deeper_than(data, MAX_DEPTH):
        raise SchemaError(Reason.NOT_JSON, f"nested more than {MAX_DEPTH} levels deep, or brackets that do not match")


def no_json(error: ValueError, data: bytes) -> SchemaError:
    """The parser's refusal of `data`, which passed `check_bytes`."""
    # the standard library can tell a breach of the grammar from what no parser of ours holds
    try:
        json.loads(data, parse_int=len)
    except ValueError:
        return SchemaError(Reason.NOT_JSON, f"no JSON: {error}")
    try:
        json.loads(data)
    except ValueError:
        return SchemaError(Reason.OUT_OF_RANGE, f"a whole number of thousands of digits: {error}")
    return SchemaError(Reason.LONE_SURROGATE, f"an escape that is half of a surrogate pair: {error}")


def no_record(error: ValidationError) -> SchemaError:
    """The model's refusal, in the project's words: the reason is that of the first field refused."""
    errors = error.errors(include_input=False, include_url=False, include_context=False)
    reason = _reason(errors[0]["type"], errors[0]["loc"])
    return SchemaError(reason, "; ".join(_sentence(each["loc"], each["msg"]) for each in errors[:3]))


def _reason(error_type: str, location: tuple[Any, ...]) -> Reason:
    if not location:
        return Reason.NOT_AN_OBJECT
    field = location[0]
    if field == "origin" and (error_type != "missing" or len(location) > 1):
        return Reason.INVALID_ORIGIN
    if error_type == "missing":
        return Reason.MISSING_FIELD
    if error_type in _TYPE_ERRORS:
        return Reason.WRONG_TYPE
    return _TIME_BOUNDS[error_type] if field == "event_time" else _BOUNDS.get(field, Reason.OUT_OF_RANGE)


def _sentence(location: tuple[Any, ...], message: str) -> str:
    """The field's name only: what lies below it (a tag's name) came from the sender."""
    text = message[:1].lower() + message[1:]
    return f"{location[0]}: {text}" if location else text
