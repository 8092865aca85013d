"""A task's tables between commits: what is pending, over a bounded cache, over the store."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import setitem
from typing import Any, Final, Generic, Protocol, TypeVar

from operators.topology import TableSpec
from pipeline.errors import StateLost
from pipeline.runtime.metrics import TIMED_ONE_OF, TableReads
from pipeline.state.envelope import seal, unseal

Value = TypeVar("Value")

_ABSENT: Final[Any] = object()


class Rows(Protocol):
    """Where rows are between two commits: a store, or what stands in its place."""

    def get(self, table: str, key: bytes) -> bytes | None: ...


class _Pending(dict[bytes, Any]):
    """What changed since the last commit; reading a key that did not looks further, and changes nothing."""

    def __init__(self, find: Callable[[bytes], Any]) -> None:
        self._find = find

    def __missing__(self, key: bytes) -> Any:
        return self._find(key)


class TaskTable(Generic[Value]):
    """`operators.api.Table` of one partition.

    `get` and `put` do without a call into Python where they can: a fold calls them for each record, and mostly meets a
    key that it has changed since the last commit.

    The cache holds decoded values in two generations, each of half the entries: a full young one becomes the old one
    and the old one goes. That is nearly least-recently-written, and costs nothing on a hit.
    """

    get: Callable[[bytes], Value | None]
    put: Callable[[bytes, Value], None]

    def __init__(self, spec: TableSpec[Value], store: Rows, reads: TableReads) -> None:
        self.name = spec.name
        self._codec = spec.value
        self._cached = spec.cached
        self._store = store
        self._reads = reads
        self._half = 0
        self._young: dict[bytes, Value] = {}
        self._old: dict[bytes, Value] = {}
        self._pending = _Pending(self._find)
        self.get = self._pending.__getitem__
        self.put = partial(setitem, self._pending)

    def limit_cache(self, entries: int) -> None:
        """How many decoded rows to keep; what is over goes at the next commit."""
        self._half = entries // 2

    def _find(self, key: bytes) -> Value | None:
        cached: Value | None = self._young.get(key, _ABSENT)
        if cached is _ABSENT:
            cached = self._old.get(key, _ABSENT)
            if cached is _ABSENT:
                return self._load(key)
        self._reads.cached += 1
        return cached

    def _load(self, key: bytes) -> Value | None:
        reads, get = self._reads, self._store.get
        reads.loaded += 1
        sealed = get(self.name, key) if reads.loaded % TIMED_ONE_OF else reads.timed(get, self.name, key)
        if sealed is None:
            return None
        payload = unseal(sealed)
        try:
            value = self._codec.decode(payload)
        except ValueError as error:
            # Whole, by its checksum, and so as its codec wrote it: a rebuild would meet the same bytes again.
            raise StateLost(
                "a row was written by another codec than reads it now",
                hint="give the topology another version and run `statelog rebuild --from-source`, or restore the codec",
                table=self.name,
                key=key.hex(),
            ) from error
        if self._cached:
            self._young[key] = value
        return value

    def delete(self, key: bytes) -> None:
        self._pending[key] = None

    def encode_pending(self) -> dict[bytes, bytes | None]:
        """What changed since the last commit, as the changelog and the store will hold it."""
        encode = self._codec.encode
        return {key: None if value is None else seal(encode(value)) for key, value in self._pending.items()}

    def settle(self) -> None:
        """The pending changes are in the store now."""
        young, pending = self._young, self._pending
        if self._cached:
            young.update(pending)
            deleted = [key for key, value in pending.items() if value is None]
            for key in deleted:
                del young[key]
                self._old.pop(key, None)
        pending.clear()
        if len(young) > self._half:
            self._old, self._young = young, {}

    def drop(self) -> None:
        """The pending changes will never be: forget them, and every cached value that they changed in place."""
        for key in self._pending:
            self._young.pop(key, None)
            self._old.pop(key, None)
        self._pending.clear()

    def forget_cache(self) -> None:
        """The store has moved on without this cache."""
        self._young, self._old = {}, {}
