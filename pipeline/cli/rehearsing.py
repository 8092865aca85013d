"""What `statelog demo` and `statelog drill` have in common: who listens, and how an interruption ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from pipeline.cli.options import Run

if TYPE_CHECKING:
    from pipeline.cli.telling import Lines, Story

INTERRUPTED = 130


@contextmanager
def telling_of(run: Run) -> Iterator[Story | Lines]:
    """The listener that the user wants. On Ctrl-C and SIGTERM the block is left by an exception, and cleans up."""
    from pipeline.cli.telling import Lines, Story

    telling: Story | Lines = Lines() if run.output.as_json else Story()
    try:
        yield telling
    except KeyboardInterrupt:
        telling.drop_bars()
        print("interrupted; all that was started is gone", file=sys.stderr, flush=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        telling.drop_bars()
