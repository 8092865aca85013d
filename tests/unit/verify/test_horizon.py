"""When the fold of a compacted log is exact, against a model of what Kafka's cleaner may do."""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

from pipeline.verify.horizon import CLOCK_MARGIN_MS, Compaction, why_inexact

LAG_MS = 60 * 60_000
RETENTION_MS = 4 * LAG_MS
COMPACTION = Compaction(LAG_MS, RETENTION_MS)
MINUTE_MS = 60_000


class Kept(NamedTuple):
    """A record of the model's log; enough of a `Message` for the horizon."""

    at: int
    append_ms: int
    name: bytes
    content: bytes | None

    def timestamp(self) -> tuple[int, int]:
        return 2, self.append_ms

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes:
        return self.name

    def value(self) -> bytes | None:
        return self.content

    def headers(self) -> None:
        return None


class Log:
    """One partition, a segment a record: the cleaner at its keenest."""

    def __init__(self) -> None:
        self.now_ms = 10 * RETENTION_MS
        self.end = 0
        self.kept: list[Kept] = []
        self.written: list[Kept] = []
        self._tombstone_cleaned_ms: dict[int, int] = {}

    def append(self, key: bytes, value: bytes | None) -> None:
        record = Kept(self.end, self.now_ms, key, value)
        self.kept.append(record)
        self.written.append(record)
        self.end += 2  # the record and its commit marker

    def clean(self, *, marker_rolled: bool) -> None:
        """Up to the first record younger than the lag, and never in the active segment: that of the last record, or
        of its commit marker alone.
        """
        young = (record.at for record in self.written if record.append_ms > self.now_ms - LAG_MS)
        active = self.end - 1 if marker_rolled or not self.written else self.written[-1].at
        bound = min(next(young, self.end), active)
        last = {record.name: record.at for record in self.kept if record.at < bound}
        self.kept = [
            record
            for record in self.kept
            if record.at >= bound or (last[record.name] == record.at and not self._expired(record))
        ]

    def _expired(self, record: Kept) -> bool:
        if record.content is not None:
            return False
        cleaned_ms = self._tombstone_cleaned_ms.setdefault(record.at, self.now_ms)
        return self.now_ms - cleaned_ms > RETENTION_MS


def fold(records: list[Kept], end: int) -> dict[bytes, bytes]:
    state: dict[bytes, bytes] = {}
    for record in records:
        if record.at < end:
            if record.content is None:
                state.pop(record.name, None)
            else:
                state[record.name] = record.content
    return state


def test_what_counts_as_provable_is_the_fold_of_what_was_written() -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    seen: Counter[tuple[bool, bool]] = Counter()
    for run in range(3_000):
        log, position, applied_ms = Log(), 0, 10 * RETENTION_MS
        keys = [b"a", b"b", b"c"][: chance.choice([1, 3])]
        waits = chance.choice([[1, 20, 54, 61], [300]])
        for _ in range(chance.randrange(20)):
            match chance.choice(["append", "append", "wait", "clean", "store"]):
                case "append":
                    log.append(chance.choice(keys), chance.choice([None, b"1", b"2", b"3"]))
                case "wait":
                    log.now_ms += chance.choice(waits) * MINUTE_MS
                case "clean":
                    log.clean(marker_rolled=chance.random() < 0.5)
                case "store":  # the store follows: its position is behind its last record, before the commit marker
                    position, applied_ms = max(log.end - 1, 0), log.now_ms
        for _ in range(chance.choice([0, 3])):  # and then nobody looks for long enough that deletions expire
            log.now_ms += RETENTION_MS + MINUTE_MS
            log.clean(marker_rolled=True)
        for _ in range(chance.choice([0, 1])):
            log.append(b"young", b"1")
        beyond = next((record for record in log.kept if record.at >= position), None)
        why = why_inexact(position, log.end, beyond, COMPACTION, applied_at_ms=applied_ms, now_ms=log.now_ms)
        exact = fold(log.kept, position) == fold(log.written, position)
        seen[not why, exact] += 1
        assert exact or why, f"seed {seed} run {run}"
        if position == max(log.end - 1, 0):
            assert not why, f"at the log's end every fold is exact: seed {seed} run {run}"
    assert seen[False, False] > 50, "compaction must often have passed the store"
    assert seen[True, True] > 50


def test_a_store_within_the_lag_is_provable_and_one_behind_it_is_not() -> None:
    def why(age_ms: int) -> str:
        return why_inexact(5, 9, Kept(6, 0, b"a", b"1"), COMPACTION, applied_at_ms=0, now_ms=age_ms)

    assert why(LAG_MS - CLOCK_MARGIN_MS - 1) == ""
    assert "behind" in why(LAG_MS - CLOCK_MARGIN_MS)


def test_what_is_left_beyond_is_no_proof_once_deletions_may_have_expired() -> None:
    def why(last_stable: int, away_ms: int) -> str:
        return why_inexact(5, last_stable, None, COMPACTION, applied_at_ms=0, now_ms=away_ms)

    assert why(6, 2 * RETENTION_MS) == ""
    assert why(8, RETENTION_MS - CLOCK_MARGIN_MS) == ""
    assert "deletions" in why(8, RETENTION_MS)
    young = Kept(8, 2 * RETENTION_MS, b"a", b"1")
    assert "deletions" in why_inexact(5, 9, young, COMPACTION, applied_at_ms=0, now_ms=2 * RETENTION_MS)
