"""Tables in Redis: a hash a table, fetched and written a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar, cast

from pipeline.errors import Misconfigured, Retryable

Result = TypeVar("Result")

TIMEOUT_S: Final = 2.0
RETRIES: Final = 4
"""Of a call, within a third of a second; then whoever asked decides what becomes of the batch."""


class RedisRows:
    """The tables of one pipeline. For one thread. Every method raises Retryable while Redis does not answer."""

    def __init__(self, url: str, prefix: str) -> None:
        """`prefix` keeps several pipelines in one Redis apart. Raises Misconfigured for a url that is none."""
        import redis
        from redis.backoff import ExponentialBackoff
        from redis.retry import Retry

        self._error = redis.RedisError
        # A Redis that has just come back says so while it reads its file.
        self._passing = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError)
        self._prefix = prefix
        self.round_trips = 0
        """Requests that were answered."""
        retry = Retry(ExponentialBackoff(cap=0.1, base=0.02), RETRIES)
        try:
            self._redis: Any = redis.Redis.from_url(
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=retry,
                retry_on_error=[redis.BusyLoadingError],
            )  # fmt: skip
        except ValueError as error:
            raise Misconfigured(f"no url of a redis: {error}", hint="such as redis://127.0.0.1:6379/0") from error

    def get(self, table: str, key: bytes) -> bytes | None:
        """One row, in a round trip of its own."""
        return self._asked(lambda: cast("bytes | None", self._redis.hget(self._hash(table), key)))

    def get_many(self, table: str, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """All of these in one round trip; None where there is no such row."""
        listed = list(keys)
        found = self._asked(lambda: self._redis.hmget(self._hash(table), listed)) if listed else []
        return dict(zip(listed, found, strict=True))

    def write(self, tables: Mapping[str, Mapping[bytes, bytes | None]]) -> None:
        """All of it or nothing (MULTI), in one round trip; None deletes. Written twice is written once."""
        pipe = self._redis.pipeline(transaction=True)
        for table, rows in tables.items():
            kept = {key: value for key, value in rows.items() if value is not None}
            deleted = [key for key, value in rows.items() if value is None]
            if kept:
                pipe.hset(self._hash(table), mapping=kept)
            if deleted:
                pipe.hdel(self._hash(table), *deleted)
        if len(pipe):
            self._asked(pipe.execute)

    def scan(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Every row, in no order."""
        cursor = 0
        while True:
            cursor, rows = self._asked(lambda at=cursor: self._redis.hscan(self._hash(table), at, count=1_000))  # type: ignore[misc]
            yield from rows.items()
            if not cursor:
                return

    def delete(self, tables: Iterable[str]) -> None:
        """These tables, whole."""
        self._asked(lambda: self._redis.unlink(*(self._hash(table) for table in tables)))

    def info(self) -> dict[str, Any]:
        """What Redis tells of itself: its own traffic, memory and files, for all of its clients."""
        return self._asked(lambda: cast("dict[str, Any]", self._redis.info()))

    def ping(self) -> None:
        """Return when it answers."""
        self._asked(self._redis.ping)

    def close(self) -> None:
        self._redis.close()

    def _hash(self, table: str) -> str:
        return f"{self._prefix}{table}"

    def _asked(self, ask: Callable[[], Result]) -> Result:
        try:
            answer = ask()
        except self._passing as error:
            raise Retryable("redis does not answer", hint="see whether it runs", detail=str(error)) from error
        except self._error as error:
            raise Misconfigured(f"redis refuses: {error}", hint="see its rights and its memory") from error
        self.round_trips += 1
        return answer
