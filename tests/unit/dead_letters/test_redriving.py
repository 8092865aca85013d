"""Dead letters come back once each, whatever ends a run, on the in-memory twin of Kafka."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from operators.iot import topology
from operators.topology import DEAD_LETTERS
from pipeline.dead_letters import redriving
from pipeline.dead_letters.letters import DeadLetters, Letter, Place, Selection
from pipeline.dead_letters.redriving import HEADER, redrive
from pipeline.errors import Fenced, Misconfigured
from pipeline.log.api import Log, Message, Sink, TopicPartition
from pipeline.log.memory import MemoryCluster
from pipeline.log.reading import read
from pipeline.settings import Settings
from pipeline.topics import TopicPlan
from schemas.dead_letter import DeadLetter

PREFIX = "p-"
PARTITIONS = 2
LETTERS = 25
TOPOLOGY = topology()


class Killed(BaseException):
    """As a process ends that is killed: nothing is tidied up."""


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """A cluster with refused telemetry, and transactions of few letters."""
    monkeypatch.setattr(redriving, "TRANSACTION_LETTERS", 4)
    cluster = MemoryCluster()
    log = cluster.connect(Settings(prefix=PREFIX))
    log.admin().create_topics(TopicPlan(TOPOLOGY, PREFIX).configs, PARTITIONS, 1)
    sink = log.sink("worker")
    sink.begin()
    for number in range(LETTERS):
        letter = _letter(number)
        sink.send_with_headers(PREFIX + DEAD_LETTERS, letter.key, letter.value, 0, letter.headers())
    sink.commit()
    sink.close()
    return log


def _letter(number: int, **changes: Any) -> DeadLetter:
    fields = {
        "key": f"press-{number % 7}".encode(), "value": json.dumps({"number": number}).encode(),
        "reason": "future" if number % 2 else "not-json", "detail": "none", "origin_topic": PREFIX + "telemetry",
        "origin_topic_id": "yYhCXnSLTZS0ZtZNaZqVaA", "origin_partition": 0, "origin_offset": number,
        "time": 1_000 + number, "stage": "transform",
    }  # fmt: skip
    return DeadLetter(**{**fields, **changes})


def _letters(log: Log) -> DeadLetters:
    return DeadLetters(log, log.admin(), PREFIX)


def _all(log: Log, topic: str) -> Iterator[Message]:
    reader = log.reader()
    for partition in (TopicPartition(PREFIX + topic, each) for each in range(PARTITIONS)):
        for batch in read(reader, partition, log.admin().high_watermarks([partition])[partition]):
            yield from batch


def _found(log: Log, selection: Selection = Selection()) -> list[Letter]:  # noqa: B008 it is frozen
    return list(_letters(log).find(selection))


def _redrive(log: Log, letters: DeadLetters | None = None) -> int:
    return redrive(TOPOLOGY, letters or _letters(log), log, [each.place for each in _found(log)])


class Treacherous:
    """A log whose sinks do something at the n-th call of a method, and only then."""

    def __init__(self, log: Log, method: str, at: int, act: Callable[[], None]) -> None:
        self._log, self._method, self._left, self._act = log, method, at, act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def sink(self, transactional_id: str) -> Any:
        return _TreacherousSink(self._log.sink(transactional_id), self)

    def called(self, method: str) -> None:
        if method == self._method:
            self._left -= 1
            if self._left == 0:
                self._act()


class _TreacherousSink:
    def __init__(self, sink: Sink, log: Treacherous) -> None:
        self._sink, self._log = sink, log

    def __getattr__(self, name: str) -> Any:
        self._log.called(name)
        return getattr(self._sink, name)


def _kill() -> None:
    raise Killed


def test_each_comes_back_once_as_it_was_and_names_its_letter(log: Log) -> None:
    assert _redrive(log) == LETTERS
    assert _redrive(log) == 0
    back = list(_all(log, "telemetry"))
    letters = {str(each.place): each.content for each in _found(log)}
    assert len(back) == len(letters) == LETTERS
    for message in back:
        content = letters.pop(dict(message.headers() or [])[HEADER].decode())
        assert (message.key(), message.value()) == (content.key, content.value)
    assert not letters


@pytest.mark.parametrize("method", ["begin", "send", "flush", "commit"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_that_is_killed_and_run_again_sends_each_once(log: Log, method: str, at: int) -> None:
    with pytest.raises(Killed):
        redrive(TOPOLOGY, _letters(log), Treacherous(log, method, at, _kill), [each.place for each in _found(log)])
    before = len(list(_all(log, "telemetry")))
    assert before < LETTERS
    assert _redrive(log) == LETTERS - before
    assert set(Counter(message.value() for message in _all(log, "telemetry")).values()) == {1}
    assert len(list(_all(log, "telemetry"))) == LETTERS


@pytest.mark.parametrize("at", [1, 3])
def test_of_two_runs_at_a_time_the_first_is_fenced_and_none_is_sent_twice(log: Log, at: int) -> None:
    second: list[int] = []
    first = Treacherous(log, "flush", at, lambda: second.append(_redrive(log)))
    with pytest.raises(Fenced, match="another redrive"):
        redrive(TOPOLOGY, _letters(log), first, [each.place for each in _found(log)])
    assert second == [LETTERS - 4 * (at - 1)]
    assert set(Counter(message.value() for message in _all(log, "telemetry")).values()) == {1}


def test_a_topic_made_anew_has_other_letters_in_the_same_places(log: Log) -> None:
    assert _redrive(log) == LETTERS
    log.admin().delete_topics([PREFIX + DEAD_LETTERS])
    TopicPlan(TOPOLOGY, PREFIX).create(log.admin())
    sink = log.sink("worker")
    sink.begin()
    letter = _letter(99)
    sink.send_with_headers(PREFIX + DEAD_LETTERS, letter.key, letter.value, 0, letter.headers())
    sink.commit()
    assert _redrive(log) == 1


def test_what_the_aggregate_refused_comes_back_as_telemetry_and_what_it_cannot_read_never(log: Log) -> None:
    reading = {"device_id": "press-1", "metric": "level", "value": 0.1, "unit": "percent", "event_time": 5, "seq": 3,
               "tags": {"site": "lyon"}, "origin": ["yYhCXnSLTZS0ZtZNaZqVaA", 1, 7]}  # fmt: skip
    sink = log.sink("worker")
    sink.begin()
    for value in (json.dumps(reading).encode(), b"{"):
        letter = _letter(0, key=b"other", value=value, stage="aggregate", reason="wrong-key")
        sink.send_with_headers(PREFIX + DEAD_LETTERS, letter.key, letter.value, 0, letter.headers())
    sink.commit()
    places = [each.place for each in _found(log, Selection(stage="aggregate"))]
    assert len(places) == 2
    assert redrive(TOPOLOGY, _letters(log), log, places) == 1
    (back,) = _all(log, "telemetry")
    assert back.key() == b"press-1"
    del reading["origin"]
    assert json.loads(back.value() or b"") == reading
    assert not list(_all(log, "readings"))


def test_letters_are_selected_by_all_that_is_given(log: Log) -> None:
    numbers = [json.loads(each.content.value or b"")["number"] for each in _found(log)]
    assert sorted(numbers) == list(range(LETTERS))
    some = _found(log, Selection(reasons=frozenset({"future"}), key_prefix="press-3", since_ms=1_010))
    assert sorted(json.loads(each.content.value or b"")["number"] for each in some) == [17]
    one = some[0].place
    assert [each.place for each in _found(log, Selection(places=frozenset({one})))] == [one]
    assert not _found(log, Selection(stage="aggregate"))
    assert Selection().everything
    assert not Selection(key_prefix="p").everything


def test_records_that_no_worker_wrote_are_counted_and_passed_over(log: Log) -> None:
    sink = log.sink("stranger")
    sink.begin()
    sink.send(PREFIX + DEAD_LETTERS, b"k", b"v", 0)
    sink.commit()
    letters = _letters(log)
    assert len(list(letters.find(Selection()))) == LETTERS
    assert letters.strangers == 1


@pytest.mark.parametrize("text", ["", "1", ":", "1:", ":1", "a:1", "1:-1", "1:2:3", "¹:1"])
def test_what_names_no_letter_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="names no dead letter"):
        Place.parse(text)


def test_missing_topics_are_named() -> None:
    log = MemoryCluster().connect(Settings(prefix=PREFIX))
    with pytest.raises(Misconfigured, match=r"p-dead-letters, p-dead-letters-redriven is missing"):
        _letters(log)
