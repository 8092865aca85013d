"""One partition's proof: its checkpoint against its log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from operators.topology import AggregateStage
from pipeline.log.api import Admin, Log, Reader, TopicInfo, TopicPartition
from pipeline.log.reading import first_after
from pipeline.settings import Settings
from pipeline.state.api import StoreView
from pipeline.state.digest import digest
from pipeline.state.rocks import open_checkpoint
from pipeline.verify.horizon import Compaction, why_inexact
from pipeline.verify.replay import replay_changelog, replay_source
from pipeline.verify.scratch import Scratch
from pipeline.verify.wire import Difference, Progress, Request, Verdict

DIFFERENCES_NAMED = 20
_REPORT_S = 0.25


class _NotProvable(Exception):
    """The log no longer holds what a proof needs."""


class Prover:
    """Proves partitions of one stage, one after the other."""

    def __init__(self, settings: Settings, stage: AggregateStage, log: Log, say: Callable[[Progress], None]) -> None:
        self._prefix = settings.prefix
        self._stage = stage
        self._log = log
        self._admin: Admin = log.admin()
        self._say = say

    def prove(self, request: Request) -> Verdict:
        """Fold the log into `request.scratch` and compare. Raises PipelineError when store or log cannot be read."""
        began = time.monotonic()
        tables = [table.name for table in self._stage.tables]
        pace = _Pace(request.identity.partition, self._say)
        with (
            _scratch(Path(request.scratch), tables) as replayed,
            open_checkpoint(Path(request.checkpoint), tables) as store,
        ):
            of_store, of_replay, why, differing = digest(store, tables), None, "", []
            try:
                self._replay(request, replayed, pace)
                of_replay = replayed.digest()
                if of_replay != of_store:
                    differing = list(islice(self._differences(store, replayed), DIFFERENCES_NAMED))
            except _NotProvable as reason:
                why = str(reason)
        return Verdict(
            partition=request.identity.partition,
            position=request.position.source_next,
            digest=of_store,
            digest_store=of_store,
            digest_replay=of_replay,
            equal=not why and of_replay == of_store,
            provable=not why,
            why=why,
            differing_keys=differing,
            records=pace.records,
            seconds=round(time.monotonic() - began, 3),
        )

    def close(self) -> None:
        self._admin.close()

    def _replay(self, request: Request, replayed: Scratch, pace: _Pace) -> None:
        reader = self._log.reader()
        try:
            if request.from_source:
                self._replay_source(request, reader, replayed, pace)
            else:
                self._replay_changelogs(request, reader, replayed, pace)
        finally:
            reader.close()

    def _replay_source(self, request: Request, reader: Reader, replayed: Scratch, pace: _Pace) -> None:
        topic, end = self._prefix + self._stage.source, request.position.source_next
        info = self._whole(topic, request.identity.partition, request.identity.source_topic_id, end)
        source = TopicPartition(topic, request.identity.partition)
        pace.end = end
        replay_source(reader, source, end, self._stage, info.topic_id, info.partitions, replayed, pace.of_topic())

    def _replay_changelogs(self, request: Request, reader: Reader, replayed: Scratch, pace: _Pace) -> None:
        ends = {table.name: request.position.changelog_next.get(table.name, 0) for table in self._stage.tables}
        pace.end = sum(ends.values())
        names = [self._prefix + table.changelog for table in self._stage.tables]
        for table, topic in zip(self._stage.tables, names, strict=True):
            self._whole(
                topic, request.identity.partition, request.identity.changelog_topic_ids[table.name], ends[table.name]
            )
        compaction = self._compaction(names)
        for table, topic in zip(self._stage.tables, names, strict=True):
            changelog, end = TopicPartition(topic, request.identity.partition), ends[table.name]
            replay_changelog(reader, changelog, end, table.name, replayed, pace.of_topic())
            self._check_horizon(request, reader, changelog, end, compaction[topic])

    def _whole(self, topic: str, partition: int, topic_id: str, end: int) -> TopicInfo:
        """A topic that is the store's own, has its head and reaches to the store's position."""
        info = self._admin.topics([topic]).get(topic)
        if info is None or info.topic_id != topic_id:
            raise _NotProvable(f"topic {topic} was deleted" + ("" if info is None else " and made anew"))
        where = TopicPartition(topic, partition)
        earliest = self._admin.earliest([where])[where]
        if earliest > 0:
            raise _NotProvable(
                f"{topic}/{partition} begins at offset {earliest}: its head was deleted, by retention or by hand"
            )
        if (last := self._admin.high_watermarks([where])[where]) < end:
            raise _NotProvable(f"{topic}/{partition} ends at offset {last}, before the store's position {end}")
        return info

    def _compaction(self, topics: list[str]) -> dict[str, Compaction]:
        configs = self._admin.topic_configs(topics)
        return {
            topic: Compaction(int(config["min.compaction.lag.ms"]), int(config["delete.retention.ms"]))
            for topic, config in configs.items()
        }

    def _check_horizon(
        self, request: Request, reader: Reader, changelog: TopicPartition, end: int, compaction: Compaction
    ) -> None:
        last_stable = self._admin.last_stable([changelog])[changelog]
        why = why_inexact(
            end,
            last_stable,
            first_after(reader, changelog, end, last_stable),
            compaction,
            applied_at_ms=request.position.applied_at_ms,
            now_ms=int(time.time() * 1000),
        )
        if why:
            raise _NotProvable(f"{changelog.topic}/{changelog.partition}: {why}")

    def _differences(self, store: StoreView, replayed: Scratch) -> Iterator[Difference]:
        """By a walk through both, side by side."""
        for table in sorted(self._stage.tables, key=lambda spec: spec.name):
            ours, theirs = store.scan(table.name), replayed.rows(table.name)
            our, their = next(ours, None), next(theirs, None)
            while our is not None or their is not None:
                if their is None or (our is not None and our[0] < their[0]):
                    assert our is not None  # noqa: S101 - one of the two is a row
                    yield Difference(table.name, _shown(table.key.show, our[0]), "only in the store")
                    our = next(ours, None)
                elif our is None or their[0] < our[0]:
                    yield Difference(table.name, _shown(table.key.show, their[0]), "only in the replay")
                    their = next(theirs, None)
                else:
                    if our[1] != their[1]:
                        yield Difference(table.name, _shown(table.key.show, our[0]), "other value")
                    our, their = next(ours, None), next(theirs, None)


class _Pace:
    """Counts what was folded, and says so now and then."""

    def __init__(self, partition: int, say: Callable[[Progress], None]) -> None:
        self.end = 0
        self.records = 0
        self._partition = partition
        self._say = say
        self._done_before = 0
        self._done = 0
        self._began = time.monotonic()
        self._said = 0.0

    def of_topic(self) -> Callable[[int, int], None]:
        """The report of the next topic's replay."""
        self._done_before = self._done

        def report(next_offset: int, records: int) -> None:
            self._done = self._done_before + next_offset
            self.records += records
            now = time.monotonic()
            if now - self._said >= _REPORT_S:
                self._said = now
                rate = self.records / max(now - self._began, 1e-6)
                self._say(Progress(self._partition, self._done, self.end, round(rate, 1)))

        return report


@contextmanager
def _scratch(directory: Path, tables: list[str]) -> Iterator[Scratch]:
    scratch = Scratch(directory, tables)
    try:
        yield scratch
    finally:
        scratch.close()


def _shown(show: Callable[[bytes], str], key: bytes) -> str:
    """A key as people know it; in hex when it is damaged."""
    try:
        return show(key)
    except ValueError:
        return key.hex()
