"""Log lines: one a line, whatever is in their fields, and no secret in them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import BaseModel

from pipeline.logging import Format, set_up_logging

HOSTILE = [
    "press\n2026-01-01T00:00:00Z [info     ] all is well",
    "\x1b[2J\x1b[31mred",
    "a\rb",
    "bell\x07",
    "\x9b31m",
    "right-to-left \u202e edis",
    "\u2028line",
    "\x00",
]
"""Ids as a device or a client might send them."""


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """The root logger is everybody's."""
    handlers = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def is_one_plain_line(text: str) -> bool:
    return text.endswith("\n") and text[:-1].isprintable() and "\n" not in text[:-1]


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("device", HOSTILE)
def test_a_field_cannot_start_a_line_or_colour_the_terminal(
    log_format: Format, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(log_format, "info")
    log = structlog.get_logger()
    log.info("device refused", device=device, reason="invalid-id")
    log.info("client refused", client={"id": [device]})
    log.info(device)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines(keepends=True)
    assert len(lines) == 3
    assert all(is_one_plain_line(line) for line in lines)
    assert "invalid-id" in lines[0]


@pytest.mark.parametrize("device", HOSTILE)
def test_what_an_exception_quotes_is_marked_as_part_of_it(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("console", "info")
    try:
        password = "hunter2"  # noqa: S105 - what a variable holds is not for the log
        raise ValueError(f"no such device: {device}", len(password))
    except ValueError:
        structlog.get_logger().exception("request failed")
    first, *rest = capsys.readouterr().err.split("\n")[:-1]
    assert "request failed" in first
    assert rest
    assert all(line.startswith("  | ") and line.isprintable() for line in rest)
    assert not any("hunter2" in line for line in rest)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_secrets_are_not_written_by_whatever_name(log_format: Format, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(log_format, "info")
    secrets = {"password": "s3cr3t", "sasl_password": "s3cr3t", "Authorization": "s3cr3t", "api_key": "s3cr3t",
               "client_secret": "s3cr3t", "bearer_token": "s3cr3t", "sasl.jaas.config": "s3cr3t"}  # fmt: skip
    structlog.get_logger().info(
        "client made",
        configuration={"nested": secrets},
        servers="sasl://user:s3cr3t@kafka-1:9092",
        listed=["https://s3cr3t@example.org"],
        **secrets,
    )
    written = capsys.readouterr().err
    assert "s3cr3t" not in written
    assert "kafka-1:9092" in written
    assert written.count("***") == 2 * len(secrets) + 2


class Connection(BaseModel):
    """Settings, by somebody who forgot that one of them is secret."""

    servers: str = "kafka-1:9092"
    sasl_password: str = "s3cr3t"  # noqa: S105


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize(
    "value",
    [
        Connection(),
        repr(Connection()),
        [Connection()],
        str(Connection().model_dump()),
        ValueError("sasl.password=s3cr3t is too short"),
        "client_secret: s3cr3t",
    ],
    ids=str,
)
def test_settings_that_show_themselves_do_not_show_secrets(
    log_format: Format, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(log_format, "info")
    structlog.get_logger().info("connecting", to=value, plain="partition 3: 17 records")
    written = capsys.readouterr().err
    assert "s3cr3t" not in written
    assert "***" in written
    assert "partition 3: 17 records" in written


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_libraries_log_comes_in_the_same_lines_once(
    log_format: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(log_format, "info")
    set_up_logging(log_format, "info")
    logging.getLogger("uvicorn.error").warning("bad request from %s", HOSTILE[1])
    logging.getLogger("uvicorn.error").info("quiet")
    written = capsys.readouterr().err
    assert is_one_plain_line(written)
    assert "uvicorn.error" in written


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("json", "warning")
    log = structlog.get_logger()
    log.info("quiet")
    log.warning("loud", partition=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["partition"]) == ("loud", "warning", 3)
