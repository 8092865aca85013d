"""Dead letters for the page: the newest, counted by reason, and each of them whole."""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from pipeline.dead_letters.legible import hex_dump, text_of
from pipeline.dead_letters.letters import DeadLetters, Letter, Place, Selection
from pipeline.query.parameters import single_parameters
from pipeline.query.problems import Problem
from pipeline.query.wire import encode

NEWEST = 500
"""Offsets read of each partition: enough to see what goes wrong, and read in an instant."""
LISTED = 20
SHOWN_BYTES = 16_384


class LetterRoutes:
    def __init__(self, open_letters: Callable[[], DeadLetters]) -> None:
        self._open = open_letters
        self._lock = threading.Lock()
        self._letters: DeadLetters | None = None
        self._ends: object = None
        self._lines: list[dict[str, Any]] = []

    async def newest(self, request: Request) -> Response:
        """How many of each reason are among the newest, and the latest LISTED, of one `reason=` if that is given."""
        parameters = single_parameters(request, ["reason"])
        return Response(encode(await to_thread.run_sync(self._newest, parameters.get("reason"))),
                        media_type="application/json")  # fmt: skip

    async def whole(self, request: Request) -> Response:
        """`id=PARTITION:OFFSET`: one with its message, as text where it is text, else as a hex dump."""
        parameters = single_parameters(request, ["id"])
        return Response(encode(await to_thread.run_sync(self._whole, parameters.get("id", ""))),
                        media_type="application/json")  # fmt: skip

    def _newest(self, reason: str | None) -> dict[str, Any]:
        with self._lock:
            letters = self._opened()
            starts, ends = letters.bounds()
            if (starts, ends) != self._ends:
                self._lines = [_line(letter) for letter in letters.find(Selection(), newest=NEWEST)]
                self._ends = starts, ends
            lines = self._lines
        reasons = Counter(line["reason"] for line in lines)
        chosen = [line for line in lines if reason in {None, line["reason"]}]
        return {
            "read": len(lines),
            "partial": any(ends[each] - starts[each] > NEWEST for each in ends),
            "newest": NEWEST,
            "reasons": dict(reasons.most_common()),
            "letters": heapq.nlargest(LISTED, chosen, key=lambda line: (line["time"], line["id"])),
        }

    def _whole(self, text: str) -> dict[str, Any]:
        with self._lock:
            letter = self._opened().at(Place.parse(text))
        if letter is None:
            raise Problem("no-such-row", f"there is no dead letter {text}", hint="retention may have had it")
        value = letter.content.value
        shown = (value or b"")[:SHOWN_BYTES]
        text_shown = text_of(shown.decode(errors="ignore").encode()) if value and text_of(value) else None
        return {
            **_line(letter),
            "key_hex": None if letter.content.key is None else letter.content.key.hex(" "),
            "text": text_shown,
            "hex": hex_dump(shown) if text_shown is None else None,
            "shown": len(shown),
        }

    def _opened(self) -> DeadLetters:
        if self._letters is None:
            self._letters = self._open()
        return self._letters


def _line(letter: Letter) -> dict[str, Any]:
    content = letter.content
    return {
        "id": str(letter.place),
        "time": content.time,
        "reason": content.reason,
        "detail": content.detail,
        "stage": content.stage,
        "key": None if content.key is None else content.key.decode(errors="backslashreplace"),
        "bytes": None if content.value is None else len(content.value),
        "origin": f"{content.origin_topic}/{content.origin_partition}@{content.origin_offset}",
        "origin_topic_id": content.origin_topic_id,
    }
