"""What the processes of a pipeline say of themselves: structured lines on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["auto", "console", "json"]


def set_up_logging(log_format: Format, level: str) -> None:
    """Write lines of this level and above to stderr: for people, or a JSON object each."""
    for_people = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *(_for_people() if for_people else _for_machines()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Whatever stderr is when a line is written: who runs a command inside a process of his own may swap it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _for_people() -> list[Processor]:
    return [_escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]


def _for_machines() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What a device or a client sent must not start a line of its own or colour the terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = value.encode("unicode_escape").decode("ascii")
    return event
