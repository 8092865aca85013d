"""`min_position`: how a question says which messages its answer has to contain, and how long it may wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

import httpx

from pipeline.query.parameters import whole_number_of
from pipeline.query.problems import Problem

DEFAULT_WAIT_MS = 5_000
MAX_WAIT_MS = 30_000
"""A question that waits holds a connection of two workers at the most."""


class Wanted(NamedTuple):
    """The messages that an answer has to contain; the clock is that of the event loop."""

    positions: Mapping[int, int]
    """By partition of the pipeline's first topic: the offset of the last message."""
    deadline: float

    def left_ms(self) -> int:
        return max(0, round((self.deadline - asyncio.get_running_loop().time()) * 1000))

    def __str__(self) -> str:
        return ",".join(f"{partition}:{offset}" for partition, offset in self.positions.items())


def wanted_of(parameters: dict[str, str], partitions: int) -> Wanted | None:
    """What the question wants, None when it wants no message in particular. Problem for what cannot be read.

    `min_position=PARTITION:OFFSET`, several with commas between, and `wait_ms`. Called on the event loop.
    """
    wait_ms = whole_number_of(parameters, "wait_ms")
    if "min_position" not in parameters:
        if wait_ms is not None:
            raise Problem("bad-parameter", "wait_ms says how long to wait for min_position, which is not given")
        return None
    if wait_ms is not None and wait_ms > MAX_WAIT_MS:
        raise Problem("bad-parameter", f"wait_ms is at most {MAX_WAIT_MS}, not {wait_ms}", hint="ask again instead")
    positions: dict[int, int] = {}
    for each in parameters["min_position"].split(","):
        partition, colon, offset = each.partition(":")
        if not (colon and _is_number(partition) and _is_number(offset) and int(partition) < partitions):
            raise Problem(
                "bad-parameter",
                f"min_position is PARTITION:OFFSET with a partition below {partitions}, not {each!r}",
                hint="as `statelog produce --json` returns it; several with commas between",
            )
        positions[int(partition)] = max(int(offset), positions.get(int(partition), 0))
    wait_s = (DEFAULT_WAIT_MS if wait_ms is None else wait_ms) / 1000
    return Wanted(positions, asyncio.get_running_loop().time() + wait_s)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def timeout_for(target: str, usual: httpx.Timeout) -> httpx.Timeout:
    """How long to wait for the answer to a question: as long as it says itself that it may wait, and the usual time."""
    parameters = parse_qs(target.partition("?")[2])
    if "min_position" not in parameters:
        return usual
    wait_ms = parameters.get("wait_ms", [str(DEFAULT_WAIT_MS)])[0]
    wait_s = min(int(wait_ms), MAX_WAIT_MS) / 1000 if _is_number(wait_ms) else 0.0
    return httpx.Timeout((usual.read or 0.0) + wait_s, connect=usual.connect)
