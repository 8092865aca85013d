"""The HTTP client of the tests."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx

http: Final = httpx.Client(timeout=10)
"""One for all: each has to load certificates first, which no test needs."""


def first_sample(console_url: str) -> dict[str, Any]:
    """The first that a console sends of what it sees."""
    with http.stream("GET", f"{console_url}api/samples", timeout=60) as answer:
        line = next(each for each in answer.iter_lines() if each.startswith("data: "))
    sample: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return sample
