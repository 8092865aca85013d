"""How `statelog verify` ends."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from pipeline.cli.verify import DIFFERS, EQUAL, NOT_PROVABLE, combined_digest, conclude
from pipeline.errors import ExitCode, NotProvable, StatesDiffer

WHY = "compaction keeps 3600 s whole"


def row(partition: int, verdict: str) -> dict[str, Any]:
    keys = [{"table": "words", "key": f"word-{number}", "what": "other value"} for number in range(2)]
    return {
        "partition": partition,
        "verdict": verdict,
        "differing_keys": keys if verdict == DIFFERS else [],
        "why": WHY if verdict == NOT_PROVABLE else "",
        "digest": f"{partition:02x}",
    }


def test_proved_stores_end_it_well() -> None:
    conclude([row(0, EQUAL), row(1, EQUAL)])


def test_a_store_that_differs_is_named_with_its_keys_and_outweighs_all_else() -> None:
    with pytest.raises(StatesDiffer, match=r"partitions 2 differ from the log: words word-0 \(other value\)") as error:
        conclude([row(0, EQUAL), row(1, NOT_PROVABLE), row(2, DIFFERS)])
    assert error.value.exit_code == ExitCode.STATES_DIFFER


def test_what_cannot_be_proved_is_said_with_its_reason() -> None:
    with pytest.raises(NotProvable, match=f"partitions 1, 3 cannot be proved: {WHY}$") as error:
        conclude([row(0, EQUAL), row(1, NOT_PROVABLE), row(3, NOT_PROVABLE)])
    assert error.value.exit_code == ExitCode.NOT_PROVABLE


def test_the_combined_digest_is_of_the_partitions_digests_in_order() -> None:
    assert combined_digest([row(0, EQUAL), row(17, EQUAL)]) == hashlib.sha256(b"\x00\x11").hexdigest()
