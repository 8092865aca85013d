"""Questions to the coordinator of a group, asked so that no outage of the cluster does lasting harm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.log.ending import end_beside

Result = TypeVar("Result")
Ask = Callable[[AdminClient, float], Future[Result]]
"""Sends a request that the client is to give up after so many seconds."""

LONGEST_S = 3_600.0
"""The longest time-out that the client takes."""


class CoordinatedClient:
    """Asks one question at a time of each client that it makes; any thread may ask.

    librdkafka's administrator caches where a group's coordinator is, and never looks again: not when that broker has
    gone, not when it says that it is the wrong one. And once a request has timed out inside the client while it waited
    for a coordinator, the next change of a connection may end the process: an assertion (issues 4605 and 5040). So no
    request times out inside a client here: who waits gives up before, and the client ends. None is asked again after
    an error of any kind.
    """

    def __init__(self, configuration: Mapping[str, Any], timeout_s: float) -> None:
        self._configuration = dict(configuration)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._sound: _Kept | None = None

    def __call__(self, ask: Ask[Result]) -> Result:
        """Raises KafkaException, with _TIMED_OUT when no answer comes in time."""
        kept = self._take()
        try:
            result = ask(kept.client, LONGEST_S).result(self._timeout_s)
        except TimeoutError:
            kept.leave()
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
        except BaseException:
            kept.leave()
            raise
        self._put_back(kept)
        return result

    def _take(self) -> _Kept:
        with self._lock:
            kept, self._sound = self._sound, None
        if kept is not None:
            kept.client.poll(0)
            if not kept.troubled:
                return kept
            kept.leave()
        return _Kept(self._configuration)

    def _put_back(self, kept: _Kept) -> None:
        with self._lock:
            other, self._sound = self._sound, kept
        if other is not None:  # two threads asked at once
            other.leave()


class _Kept:
    """A client that can be let go of, whoever else still holds what it was asked."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self.troubled = False
        tell = configuration["error_cb"]

        def note(error: KafkaError) -> None:
            self.troubled = True
            tell(error)

        self._clients: list[object] = [AdminClient({**configuration, "error_cb": note})]

    @property
    def client(self) -> AdminClient:
        return cast("AdminClient", self._clients[0])

    def leave(self) -> None:
        """End it, whoever still waits for an answer."""
        end_beside(self._clients)
