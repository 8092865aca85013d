"""`statelog broker`: a real Apache Kafka in the foreground."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Run
from pipeline.errors import BrokerFailed

if TYPE_CHECKING:
    from pipeline.broker import EmbeddedBroker


def broker_command(
    run: Run,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="where it listens; none: a free port")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="where its data stays; none: a temporary directory, removed at the end")
    ] = None,
    heap_mb: Annotated[int, typer.Option(min=256, help="the most memory Kafka's own data may take, in MB")] = 512,
) -> None:
    """Run a real Apache Kafka on this machine, without Docker, Java or root, until Ctrl-C.

    It listens on loopback only. The first start fetches it, 45 MB, into the user's cache.
    """
    from pipeline.broker import EmbeddedBroker

    try:
        with EmbeddedBroker(port, data_dir, heap_mb=heap_mb, log=_say) as broker:
            _introduce(broker, temporary=data_dir is None, as_json=run.output.as_json)
            status = broker.wait()
            raise BrokerFailed("kafka ended by itself", hint=f"see {broker.log_path}", status=status)
    except KeyboardInterrupt:
        _say("Kafka is stopped")


def _introduce(broker: EmbeddedBroker, *, temporary: bool, as_json: bool) -> None:
    facts = {
        "bootstrap_servers": broker.bootstrap_servers,
        "pid": broker.pid,
        "data_dir": str(broker.data_dir),
        "log": str(broker.log_path),
    }
    if as_json:
        print(json.dumps(facts), flush=True)
        return
    print(f"  data  {facts['data_dir']}{' (temporary)' if temporary else ''}")
    print(f"  log   {facts['log']}")
    print(f"  use   export STATELOG_BOOTSTRAP_SERVERS={facts['bootstrap_servers']}")
    print("  stop  Ctrl-C", flush=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
