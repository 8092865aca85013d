from __future__ import annotations

import pytest

from schemas.dead_letter import DeadLetter

LETTER = DeadLetter(
    key=b"\xff",
    value=None,
    reason="null-value",
    detail="no value; ünd so weiter",
    origin_topic="test-telemetry",
    origin_topic_id="Zk1bV7yGQW2kkfI0mO3w5g",
    origin_partition=3,
    origin_offset=2**40,
    time=1386018900000,
    stage="transform",
)


def test_headers_carry_all_but_key_and_value() -> None:
    assert dict(LETTER.headers())["statelog-origin-offset"] == b"1099511627776"
    assert [name for name, _ in LETTER.headers()] == [
        f"statelog-{name}"
        for name in (
            "reason", "detail", "origin-topic", "origin-topic-id", "origin-partition", "origin-offset", "time", "stage",
        )
    ]  # fmt: skip


def test_a_letter_survives_kafka_and_json() -> None:
    assert DeadLetter.from_kafka(LETTER.key, LETTER.value, [("trace", None), *LETTER.headers()]) == LETTER
    assert DeadLetter.model_validate_json(LETTER.model_dump_json()) == LETTER


@pytest.mark.parametrize("missing", [name for name, _ in LETTER.headers()])
def test_a_record_without_one_of_the_headers_is_no_dead_letter(missing: str) -> None:
    headers = [(name, field) for name, field in LETTER.headers() if name != missing]
    with pytest.raises(ValueError, match=missing.removeprefix("statelog-").replace("-", "[-_]")):
        DeadLetter.from_kafka(b"", b"", headers)
