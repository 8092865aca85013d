"""JSON Lines as messages: nothing is dropped, nothing grows without bound."""

from __future__ import annotations

import io

import pytest

from pipeline.telemetry.lines import LONGEST_LINE, UNKNOWN_KEY, messages_from
from pipeline.telemetry.poison import Message


def sent(data: bytes) -> list[Message]:
    return [message for batch in messages_from(io.BytesIO(data)) for message in batch]


def test_the_key_is_the_device_of_the_line() -> None:
    assert sent(b'{"value":1,"device_id":"a"}\n{"device_id":"b"}\r\n') == [
        (b"a", b'{"value":1,"device_id":"a"}'),
        (b"b", b'{"device_id":"b"}'),
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"nope",
        b"",
        b"[1]",
        b"{}",
        b'{"device_id":7}',
        b'{"device_id":""}',
        b'{"device_id":"\xff"}',
        b'{"device_id":"a"',
    ],
)
def test_a_line_that_names_no_device_is_sent_all_the_same(line: bytes) -> None:
    assert sent(line + b"\n" + line) == [(UNKNOWN_KEY, line), (UNKNOWN_KEY, line)][: 2 if line else 1]


def test_an_endless_line_is_cut_and_the_next_one_is_whole() -> None:
    lines = [b"x" * (5 * LONGEST_LINE), b'{"device_id":"a"}']
    assert sent(b"\n".join(lines)) == [(UNKNOWN_KEY, b"x" * LONGEST_LINE), (b"a", lines[1])]


def test_deep_nesting_is_sent_and_not_followed() -> None:
    line = b'{"device_id":' + b"[" * 100_000
    assert sent(line) == [(UNKNOWN_KEY, line)]


def test_lines_go_out_as_soon_as_they_are_there() -> None:
    class Slow:
        def __init__(self) -> None:
            self.chunks = [b'{"device_id":"a"}\n{"device', b'_id":"b"}\n', b""]

        def read1(self, size: int, /) -> bytes:
            assert len(self.chunks[0]) <= size
            return self.chunks.pop(0)

    batches = messages_from(Slow())
    assert next(batches) == [(b"a", b'{"device_id":"a"}')]
    assert next(batches) == [(b"b", b'{"device_id":"b"}')]
