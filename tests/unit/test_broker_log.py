"""The broker's log, as the one reads it who waits for the controller to say something."""

from __future__ import annotations

from pathlib import Path

from pipeline.broker.fence import written_since


def test_a_log_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    log.write_bytes(b"before\nsince\n")
    assert written_since(log, 7) == b"since\n"


def test_a_log_that_was_rolled_over_meanwhile_is_read_on_in_both_files(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    log.with_name("broker.log.1").write_bytes(b"before\nsince\n")
    log.write_bytes(b"then\n")
    assert written_since(log, 7) == b"since\nthen\n"
