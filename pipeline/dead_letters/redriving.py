"""Sending dead letters into the pipeline once more, each at most once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import msgspec

from operators.api import Refusal
from operators.topology import Topology
from pipeline.dead_letters.letters import DeadLetters, Letter, Place, Selection
from pipeline.dead_letters.outlook import entry_of
from pipeline.errors import Fenced
from pipeline.log.api import Log, Sink

HEADER = "statelog-redriven"
"""On every record that is sent once more: the place of its dead letter."""
TRANSACTIONAL_ID = "dead-letters-redrive"
"""After the pipeline's prefix."""
TRANSACTION_LETTERS = 1_000


def redrive(
    topology: Topology,
    letters: DeadLetters,
    log: Log,
    places: Iterable[Place],
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Send the letters in these places, but for those that were sent before or cannot come back; returns how many.

    A letter and the mark that it was sent go in one transaction, always under one transactional id. Of two runs at a
    time one is fenced, and the other then sees its marks: so each letter comes back once, whatever is killed. What a
    run sent before it raised stays sent. `progress` hears of each transaction.
    """
    sink = log.sink(letters.prefix + TRANSACTIONAL_ID)  # before the marks are read: from here on nobody writes any
    sent = 0
    try:
        before = letters.redriven()
        wanted = frozenset(places) - before
        found = letters.find(Selection(places=wanted)) if wanted else iter(())
        while part := list(islice(found, TRANSACTION_LETTERS)):
            sent += _send(topology, letters, sink, part)
            progress(len(part))
    except Fenced as error:
        raise Fenced("another redrive of this pipeline has begun", hint="run it again when that is done") from error
    finally:
        sink.close()
    return sent


def _send(topology: Topology, letters: DeadLetters, sink: Sink, part: Sequence[Letter]) -> int:
    """One transaction."""
    now_ms = time.time_ns() // 1_000_000
    sent = 0
    sink.begin()
    try:
        for letter in part:
            entry = entry_of(topology, letter.content)
            if isinstance(entry, Refusal):
                continue
            place = str(letter.place).encode()
            sink.send_with_headers(letters.prefix + entry.topic, entry.key, entry.value, 0, [(HEADER, place)])
            topic, key = letters.mark(letter.place)
            sink.send(topic, key, msgspec.json.encode({"time": now_ms, "topic": letters.prefix + entry.topic}), 0)
            sent += 1
        sink.flush()
        sink.commit()
    except BaseException:
        sink.abort()
        raise
    return sent
