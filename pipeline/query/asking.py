"""One question to whichever worker answers, asked again while partitions change hands.

PipelineError
├── Retryable
│   └── Unavailable       no answer within the time, with the last reason; the same call may succeed
│       └── NoWorkers     nobody is there to ask
└── Refused               the question cannot be answered as it stands
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import httpx
import msgspec
from httpx_sse import ServerSentEvent, connect_sse

from pipeline.errors import PipelineError, Retryable
from pipeline.query.outgoing import Outgoing
from pipeline.query.waiting import timeout_for
from pipeline.query.wire import Meta, ProblemDocument

PAUSE_S = 0.2
TIMEOUT = httpx.Timeout(10.0, connect=2.0)
STREAM_TIMEOUT = httpx.Timeout(30.0, connect=2.0)
"""Of silence: a stream says something every ten seconds."""


class Unavailable(Retryable):
    """No answer within the time; the last reason is the message."""


class NoWorkers(Unavailable):
    """The group has no member that serves HTTP."""


class Refused(PipelineError):
    """A question that no retry will get answered: an unknown table or view, a bad key or parameter."""


class Absent(Exception):
    """Whoever answered, as `meta` tells: there is no such row."""

    def __init__(self, meta: Meta | None) -> None:
        super().__init__()
        self.meta = meta


def told(answer: httpx.Response) -> ProblemDocument:
    """The problem document of an answer; Unavailable when whatever answered speaks no such thing."""
    try:
        return msgspec.json.decode(answer.content, type=ProblemDocument)
    except msgspec.MsgspecError as error:
        raise Unavailable(
            f"{answer.url.netloc.decode()} answered {answer.status_code}, and not as a worker does",
            hint="is the address that of a worker?",
        ) from error


def failure(problem: ProblemDocument) -> PipelineError:
    """What to raise for a problem: Refused when the question is at fault, Unavailable when the time is."""
    if problem.status < 500 and problem.status != 421:
        return Refused(problem.detail, hint=problem.hint)
    left = {} if problem.eta_s is None else {"eta_s": round(problem.eta_s, 1)}
    return Unavailable(problem.detail, hint=problem.hint, **left)


class Asker:
    """Asks the most promising worker first, then the others, then all again until patience runs out."""

    def __init__(self, doubt: Callable[[], None], patience_s: float, outgoing: Outgoing) -> None:
        self._doubt = doubt
        self._patience_s = patience_s
        self._outgoing = outgoing
        self._http = outgoing.client(TIMEOUT)

    def close(self) -> None:
        self._http.close()

    def ask(self, find: Callable[[], Sequence[str]], target: str, *, patience_s: float | None = None) -> bytes:
        """The body of a good answer. Raises Absent, Refused, Unavailable, or what `find` met.

        Nobody to ask, and a restore that will outlast the patience, are told at once.
        """
        deadline = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        while True:
            try:
                return self._once(find(), target)
            except NoWorkers:
                raise
            except Retryable as error:
                left_s = error.data.get("eta_s", 0.0)
                if time.monotonic() + (left_s if isinstance(left_s, float) else 0.0) >= deadline:
                    raise
            self._doubt()
            time.sleep(PAUSE_S)

    def listen(self, find: Callable[[], Sequence[str]], target: str) -> Iterator[ServerSentEvent]:
        """Events of a stream, which is opened again, where it had come to, whenever it ends; never the end itself.

        Raises as `ask` does, once nothing has been heard for as long as the patience lasts.
        """
        last_id = ""
        deadline = time.monotonic() + self._patience_s
        while True:
            reason: PipelineError = Unavailable("the stream has ended")
            try:
                for event in self._stream(find(), target, last_id):
                    last_id = event.id or last_id
                    yield event
                    deadline = time.monotonic() + self._patience_s
            except NoWorkers:
                raise
            except Retryable as error:
                reason = error
            if time.monotonic() >= deadline:
                raise reason
            self._doubt()
            time.sleep(PAUSE_S)

    def _stream(self, addresses: Sequence[str], target: str, last_id: str) -> Iterator[ServerSentEvent]:
        reason: PipelineError = NoWorkers("no worker answers queries", hint="start one: statelog worker aggregate")
        headers = {"last-event-id": last_id} if last_id else {}
        for address in addresses:
            try:
                with connect_sse(
                    self._http, "GET", self._outgoing.url(address, target), headers=headers, timeout=STREAM_TIMEOUT
                ) as source:
                    if source.response.status_code != httpx.codes.OK:
                        source.response.read()
                        raise failure(told(source.response))
                    for event in source.iter_sse():
                        if event.event == "end":
                            return
                        yield event
                    return
            except httpx.TransportError as error:
                found: PipelineError = Unavailable(f"the worker at {address} does not answer: {type(error).__name__}")
            except Unavailable as unavailable:
                found = unavailable
            reason = found if isinstance(reason, NoWorkers) else reason
        raise reason

    def _once(self, addresses: Sequence[str], target: str) -> bytes:
        reason: PipelineError = NoWorkers("no worker answers queries", hint="start one: statelog worker aggregate")
        for address in addresses:
            try:
                asked = self._outgoing.url(address, target)
                answer = self._http.get(asked, timeout=timeout_for(target, TIMEOUT))
            except httpx.TransportError as error:
                found: PipelineError = Unavailable(f"the worker at {address} does not answer: {type(error).__name__}")
            else:
                if answer.status_code == httpx.codes.OK:
                    return answer.content
                problem = told(answer)
                if problem.kind == "no-such-row":
                    raise Absent(problem.meta)
                found = failure(problem)
                if isinstance(found, Refused):
                    raise found
            # The first to be asked is the likely owner, so its reason says most.
            reason = found if isinstance(reason, NoWorkers) else reason
        raise reason
