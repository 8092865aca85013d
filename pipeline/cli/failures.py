"""How a command ends that cannot do what it was asked: one line, a hint, an exit code, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pipeline.cli.output import Output
from pipeline.errors import PipelineError

EXIT_CODES = (
    "Exit codes: 0 done (also a worker drained by SIGTERM or SIGINT) · 1 failure · 2 misconfigured · 3 states differ · "
    "4 not provable (beyond retention) · 5 refusal limit · 6 fenced · 130 interrupted"
)


@contextmanager
def reported(output: Output) -> Iterator[None]:
    """Turn a PipelineError into its line and its exit code."""
    try:
        yield
    except PipelineError as error:
        output.failure(error)
        raise typer.Exit(error.exit_code) from error
