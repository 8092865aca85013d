"""The store goes down under load, where it can go down by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

from pipeline.errors import PipelineError
from pipeline.rehearsal.worker_process import WorkerProcess
from pipeline.tradeoff.figures import Down
from pipeline.tradeoff.places import Place
from pipeline.tradeoff.questions import Questions
from pipeline.tradeoff.redis_server import Redis
from pipeline.tradeoff.watching import Watch

AWAY_S: Final = 3.0
SETTLED_S: Final = 0.5
"""After the store went: what was on its way by then may still be committed."""


class Outage:
    """Of the store of one place."""

    def __init__(
        self,
        watch: Watch,
        worker: WorkerProcess,
        redis: Redis | None,
        open_questions: Callable[[], Questions],
        wait: Callable[[float, str], None],
    ) -> None:
        self._watch = watch
        self._worker = worker
        self._redis = redis
        self._open = open_questions
        self._wait = wait

    def provoke(self, place: Place) -> Down:
        """Returns once everything goes on."""
        if place is Place.ROCKSDB:
            return self._disk_lost()
        if self._redis is None:
            return Down("a store in the worker's memory dies with the worker, as above")
        if self._redis.server is None:
            return Down("not tried: the Redis is somebody else's")
        return self._redis_down(self._redis)

    def _disk_lost(self) -> Down:
        held = self._watch.held()[self._worker.id]
        self._worker.kill()
        files, size = self._worker.lose_disk()
        began = time.monotonic()
        self._worker.start()
        back_s = self._watch.until_progress(held) - began
        words = (
            f"it goes only with its disk: {files} files of {size / 1e6:.1f} MB deleted after kill -9, its partitions "
            f"at work again {back_s:.1f} s after the worker's start, by replay"
        )
        return Down(words, back_s=back_s)

    def _redis_down(self, redis: Redis) -> Down:
        assert redis.server is not None  # noqa: S101 - the caller looked
        redis.server.kill()
        down_at = time.monotonic()
        self._wait(SETTLED_S, "store down")
        before = self._watch.folded()
        refused = self._no_answer()
        self._wait(AWAY_S - SETTLED_S, "store down")
        meanwhile = self._watch.folded() - before
        away_s = time.monotonic() - down_at
        began = time.monotonic()
        redis.server.start()
        back_s = self._watch.until_progress(self._watch.committed()) - began
        answered = "no question was" if refused else "questions were"
        words = (
            f"for {away_s:.1f} s after kill -9 of Redis {meanwhile:,} readings were folded and {answered} answered; "
            f"the workers stayed and tried again; all goes on {back_s:.1f} s after its start"
        )
        return Down(words, away_s=away_s, committed_meanwhile=meanwhile, back_s=back_s)

    def _no_answer(self) -> bool:
        with closing(self._open()) as questions:
            try:
                questions.ask("anybody")
            except PipelineError:
                return True
        return False
