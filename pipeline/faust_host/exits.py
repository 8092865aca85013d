"""How this host ends when it cannot go on: one line, at once, by a code that a supervisor restarts it for.

`os._exit`, because Faust would acknowledge, commit and send on its way out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import Final, NoReturn, ParamSpec

from pipeline.errors import PipelineError

AGENT_FAILED: Final = 70
"""An agent or a delivery failed. What it was at is not acknowledged, and comes again after a restart."""
RECORDS_SKIPPED: Final = 71
"""Faust handed over another record than the next one. Nothing was made of it, and a restart reads from the commit."""
STALLED: Final = 72
"""Records wait, and Faust hands none over. Nothing of them is acknowledged, and a restart reads from the commit."""

RESTARTABLE: Final = frozenset({AGENT_FAILED, RECORDS_SKIPPED, STALLED})
"""After these a supervisor starts the worker again."""

Parameters = ParamSpec("Parameters")

_logger = logging.getLogger(__name__)  # Faust configures the standard library's logging, and no other


def stop(code: int, why: str, error: BaseException | None = None) -> NoReturn:
    """End the process now, with nothing acknowledged that was not."""
    _logger.critical("%s; exit code %d", why, code, exc_info=error)
    logging.shutdown()
    os._exit(code)


def failure(error: BaseException, doing: str) -> NoReturn:
    """Stop for an error, with its own exit code where it has one."""
    if isinstance(error, PipelineError) and error.exit_code > 1:
        stop(error.exit_code, f"{doing}: {error}; {error.hint}")
    stop(AGENT_FAILED, f"{doing} failed", error)


def fatal(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """For callbacks of futures, whose exceptions the event loop would only log."""

    @wraps(function)
    def guarded(*arguments: Parameters.args, **named: Parameters.kwargs) -> None:
        try:
            function(*arguments, **named)
        except Exception as error:
            failure(error, function.__qualname__)

    return guarded
