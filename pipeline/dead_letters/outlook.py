"""What would come of sending dead letters once more: told before anything is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from operators.api import Output, Record, Refusal
from operators.redrive import Entry
from operators.topology import AggregateStage, Topology, TransformStage
from pipeline.client import Client
from pipeline.dead_letters.letters import DeadLetters, Letter, Place, Selection
from pipeline.errors import Retryable
from schemas.dead_letter import DeadLetter

ROWS_KEPT = 10_000
SENT_BEFORE = "it was sent once more already"
NO_WORD = "the topology does not say how to tell"


class Outlook(NamedTuple):
    """What would come of sending one dead letter once more."""

    place: Place
    reason: str
    key: str
    topic: str
    """Where it goes, without prefix; empty when it is not sent."""
    refused: str
    """Why it is not sent: it would be refused again, or was sent before."""
    newer: str = ""
    """What its key has folded since that is newer; empty for nothing."""
    unknown: str = ""
    """Why that cannot be told; empty when it can."""


class _Since(NamedTuple):
    newer: str = ""
    unknown: str = ""


def entry_of(topology: Topology, content: DeadLetter) -> Entry | Refusal:
    """The record by which a dead letter comes back, or why it cannot."""
    try:
        stage = topology.stage(content.stage)
    except KeyError:
        return Refusal("no-such-stage", f"the topology has no stage {content.stage!r}")
    if isinstance(stage, AggregateStage) and stage.redrive is not None:
        return stage.redrive.entry(content)
    return Entry(stage.source, content.key, content.value)


class Outlooks:
    """Tries the transforms on each letter, and asks the workers what its key has folded since."""

    def __init__(self, topology: Topology, letters: DeadLetters, client: Client) -> None:
        self._topology = topology
        self._letters = letters
        self._client = client
        self._rows: dict[tuple[str, str], Any] = {}
        self._silent = ""
        """Why the workers do not tell; then none is asked again, as each question would wait for them anew."""

    def of(self, selection: Selection, progress: Callable[[int], None] = lambda _: None) -> Iterator[Outlook]:
        """For each letter that is selected."""
        before = self._letters.redriven()
        for letter in self._letters.find(selection, progress):
            yield self._outlook(letter, sent_before=letter.place in before)

    def _outlook(self, letter: Letter, *, sent_before: bool) -> Outlook:
        content = letter.content
        key = (content.key or b"").decode(errors="backslashreplace")
        if sent_before:
            return Outlook(letter.place, content.reason, key, "", SENT_BEFORE)
        entry = entry_of(self._topology, content)
        if isinstance(entry, Refusal):
            return Outlook(letter.place, content.reason, key, "", _again(entry))
        since = self._arrive(entry, content)
        if isinstance(since, Refusal):
            return Outlook(letter.place, content.reason, key, "", _again(since))
        return Outlook(letter.place, content.reason, key, entry.topic, "", *since)

    def _arrive(self, entry: Entry, content: DeadLetter) -> _Since | Refusal:
        """Follow a record to the aggregate that folds it."""
        now_ms = time.time_ns() // 1_000_000
        record = Record(entry.key, entry.value, now_ms, content.origin_topic_id, 0, 0)
        topic = entry.topic
        for stage in self._topology.stages:
            if stage.source != topic:
                continue
            if isinstance(stage, TransformStage):
                outcome = stage.operator().transform(record)
                if isinstance(outcome, Refusal):
                    return outcome
                outputs = [outcome] if isinstance(outcome, Output) else outcome
                if len(outputs) != 1:
                    return _Since(unknown=NO_WORD)
                topic = outputs[0].topic
                record = Record(outputs[0].key, outputs[0].value, now_ms, content.origin_topic_id, 0, 0)
            else:
                return self._since(stage, record)
        return _Since(unknown=NO_WORD)

    def _since(self, stage: AggregateStage, record: Record) -> _Since | Refusal:
        if stage.redrive is None or record.key is None:
            return _Since(unknown=NO_WORD)
        table = stage.table(stage.redrive.table)
        try:
            row = self._row(table.name, table.key.show(record.key))
        except Retryable as error:
            self._silent = self._silent or str(error)
            return _Since(unknown=self._silent)
        newer = None if row is None else stage.redrive.newer(record, row)
        return newer if isinstance(newer, Refusal) else _Since(newer or "")

    def _row(self, table: str, key: str) -> Any:
        """Raises Retryable when no worker tells."""
        if self._silent:
            raise Retryable(self._silent)
        if (table, key) not in self._rows:
            if len(self._rows) >= ROWS_KEPT:
                self._rows.clear()
            found = self._client.get(table, key)
            self._rows[table, key] = None if found is None else found.value
        return self._rows[table, key]


def _again(refusal: Refusal) -> str:
    return f"refused again, {refusal.reason}: {refusal.detail}"
