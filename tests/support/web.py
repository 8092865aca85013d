"""The HTTP client of the tests."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx

from tests.support.waiting import PATIENCE_S

http: Final = httpx.Client(timeout=PATIENCE_S)
"""One for all: each has to load certificates first, which no test needs."""


def first_sample(console_url: str) -> dict[str, Any]:
    """The first that a console sends of what it sees."""
    with http.stream("GET", f"{console_url}api/samples") as answer:
        line = next(each for each in answer.iter_lines() if each.startswith("data: "))
    sample: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return sample
