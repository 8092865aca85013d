"""What the processes of a pipeline say of themselves: structured lines on stderr.

What comes from outside (a device's id, a client's, a reason that quotes a message) can neither begin a line of its own
nor reach the terminal as a command. What is secret is not written, whoever logs it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["auto", "console", "json"]

HIDDEN: Final = "***"
_SECRET_NAME: Final = re.compile(
    r"passw|secret|token|credential|authorization|jaas|(?:api|private|access)[._-]?key", re.IGNORECASE
)
_USER_IN_ADDRESS: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_SECRET_IN_TEXT: Final = re.compile(
    r"""([\w.-]*(?:passw|secret|token|jaas)[\w.-]*["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;]+)""", re.IGNORECASE
)
"""As settings show themselves, and as a client quotes its configuration."""
_LINES: Final = frozenset({"exception", "stack"})
"""Fields of several lines, each of which is marked as part of them."""
_BAR: Final = "  | "


def set_up_logging(log_format: Format, level: str) -> None:
    """Write lines of this level and above to stderr: for people, or a JSON object each.

    Those of libraries too, from warnings on, whatever the level asks for beyond that.
    """
    for_people = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,  # a plain one: prettier ones show the variables, secrets among them
            _hide,
            *(_for_people() if for_people else _for_machines()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Whatever stderr is when a line is written: who runs a command inside a process of his own may swap it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for before in [each for each in root.handlers if isinstance(each, _OfLibraries)]:
        root.removeHandler(before)
    root.addHandler(_OfLibraries(logging.WARNING))


class _OfLibraries(logging.Handler):
    """Brings what libraries log by the standard library into the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger(record.name).log(
                record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info or None
            )
        except Exception:
            self.handleError(record)


def _for_people() -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [_escape, renderer]


def _for_machines() -> list[Processor]:
    return [structlog.processors.JSONRenderer(default=str)]


def _hide(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Secrets by the name of their field, at any depth and in texts, and users and passwords in addresses."""
    return {name: _hidden(name, value) for name, value in event.items()}


def _hidden(name: object, value: Any) -> Any:
    if _SECRET_NAME.search(str(name)):
        return HIDDEN
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _hidden(key, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden("", each) for each in value]
    return _SECRET_IN_TEXT.sub(rf"\1{HIDDEN}", _USER_IN_ADDRESS.sub(HIDDEN, str(value)))


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What a device or a client sent must not start a line of its own or colour the terminal."""
    for name, value in event.items():
        if name in _LINES and isinstance(value, str):
            event[name] = "\n".join(_BAR + _printable(line) for line in value.split("\n"))
        elif isinstance(value, str):
            event[name] = _printable(value)
    return event


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
