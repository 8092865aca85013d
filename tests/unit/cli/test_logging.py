"""Log lines: one a line, whatever is in their fields."""

from __future__ import annotations

import json

import pytest
import structlog

from pipeline.logging import Format, set_up_logging


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_field_cannot_start_a_line_or_colour_the_terminal(
    log_format: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(log_format, "info")
    structlog.get_logger().info("device refused", device="a\nb\x1b[31m", reason="invalid-id")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert "\x1b[31m" not in captured.err
    assert "invalid-id" in captured.err


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("json", "warning")
    log = structlog.get_logger()
    log.info("quiet")
    log.warning("loud", partition=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["partition"]) == ("loud", "warning", 3)
