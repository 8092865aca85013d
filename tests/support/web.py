"""The HTTP client of the tests."""

from __future__ import annotations

from typing import Final

import httpx

http: Final = httpx.Client(timeout=10)
"""One for all: each has to load certificates first, which no test needs."""
