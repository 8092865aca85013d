"""Query parameters, read strictly: a misspelt one would widen the answer without a word."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request

from pipeline.query.problems import Problem
from pipeline.query.wire import DEFAULT_LIMIT, MAX_LIMIT

FRESHNESS = ("max_lag", "min_position", "wait_ms")
"""What every question about rows knows."""
_BOOLEANS = {"true": True, "false": False}


def single_parameters(request: Request, allowed: Sequence[str]) -> dict[str, str]:
    """The parameters, each given at most once and each known."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise Problem("bad-parameter", f"unknown parameter {name!r}", hint=f"known here: {known}")
        if name in found:
            raise Problem("bad-parameter", f"parameter {name!r} is given twice")
        found[name] = value
    return found


def limit_of(parameters: dict[str, str]) -> int:
    text = parameters.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT):
        raise Problem("bad-parameter", f"limit is a number from 1 to {MAX_LIMIT}, not {text!r}")
    return int(text)


def whole_number_of(parameters: dict[str, str], name: str) -> int | None:
    """None when it is not given."""
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem("bad-parameter", f"{name} is a whole number, 0 or more, not {text!r}")
    return int(text)


def boolean_of(parameters: dict[str, str], name: str) -> bool:
    text = parameters.get(name, "false")
    if text not in _BOOLEANS:
        raise Problem("bad-parameter", f"{name} is true or false, not {text!r}")
    return _BOOLEANS[text]


def partitions_of(parameters: dict[str, str], count: int) -> list[int]:
    """`partitions=0,3,5`: which ones another worker, or the verifying command, asks for."""
    text = parameters.get("partitions", "")
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 and int(part) < count for part in parts):
        raise Problem("bad-parameter", f"partitions are numbers below {count} with commas between, not {text!r}")
    return sorted({int(part) for part in parts})
