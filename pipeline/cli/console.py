"""`statelog console`: the page that shows a pipeline live."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from pipeline.cli.options import Run

DEFAULT_ADDRESS = "127.0.0.1:19080"

Http = Annotated[str, typer.Option(metavar="HOST:PORT", help="where to serve, on this machine alone; port 0: any free")]


def console(run: Run, http: Http = DEFAULT_ADDRESS) -> None:
    """Serve a page that shows the pipeline live, to browsers of this machine, until interrupted.

    The topology with rates and lag; partitions, and how far their restores are; any row, with a device's windows as
    a chart; dead letters. It only reads.
    """
    from pipeline.console.serving import console_on
    from pipeline.runtime.start import load_topology

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with console_on(run.settings, load_topology(run.settings), http) as url:
        run.output.record({"console": url})
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return
