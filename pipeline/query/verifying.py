"""The verifications of several workers at once, as one stream of lines."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import msgspec

from pipeline.errors import PipelineError
from pipeline.query.asking import Unavailable, failure, told
from pipeline.query.outgoing import Outgoing

SILENCE_S = 300.0
"""A worker that verifies says how far it is; after this silence it counts as gone."""

Line = dict[str, Any]


def verify_everywhere(addresses: Sequence[str], target: str, outgoing: Outgoing) -> Iterator[Line]:
    """The lines of all of these workers, each as it comes.

    Raises what the first of them fails with, which ends the others: Unavailable, Refused, PipelineError.
    """
    lines: queue.Queue[Line | PipelineError | None] = queue.Queue()
    stopped = threading.Event()
    with outgoing.client(httpx.Timeout(SILENCE_S, connect=2.0)) as http:
        for address in addresses:
            asked = (http, address, outgoing.url(address, target), lines, stopped)
            threading.Thread(target=_follow, args=asked, daemon=True).start()
        try:
            running = len(addresses)
            while running:
                line = lines.get()
                if line is None:
                    running -= 1
                elif isinstance(line, PipelineError):
                    raise line
                else:
                    yield line
        finally:
            stopped.set()


def _follow(
    http: httpx.Client,
    address: str,
    url: str,
    lines: queue.Queue[Line | PipelineError | None],
    stopped: threading.Event,
) -> None:
    """Put what one worker says, then None."""
    try:
        with http.stream("GET", url) as answer:
            if answer.status_code != httpx.codes.OK:
                answer.read()
                raise failure(told(answer))
            for text in answer.iter_lines():
                if stopped.is_set():
                    return
                line = msgspec.json.decode(text, type=Line)
                if "error" in line:
                    raise PipelineError(str(line["error"]), hint=str(line.get("hint", "")))
                lines.put(line)
    except PipelineError as error:
        lines.put(error)
    except (httpx.HTTPError, httpx.StreamError, msgspec.MsgspecError, RuntimeError) as error:
        # A client that is closed under a stream, because another worker failed, says so by a RuntimeError.
        lines.put(Unavailable(f"the worker at {address} broke off its verification: {type(error).__name__}"))
    finally:
        lines.put(None)
