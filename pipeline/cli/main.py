"""The `statelog` command: which subcommands there are. Each lives in a module of its own."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from pipeline.cli.asking import SETTINGS as ASKING
from pipeline.cli.broker import broker_command
from pipeline.cli.console import console
from pipeline.cli.dead_letters import ls, redrive, show
from pipeline.cli.demo import demo
from pipeline.cli.drill import drill
from pipeline.cli.failures import EXIT_CODES
from pipeline.cli.forget import forget
from pipeline.cli.get import get
from pipeline.cli.options import register
from pipeline.cli.produce import produce
from pipeline.cli.rebuild import rebuild, reset
from pipeline.cli.scan import scan
from pipeline.cli.status import status
from pipeline.cli.token import new
from pipeline.cli.topics import acl, check, create
from pipeline.cli.tradeoff import tradeoff
from pipeline.cli.verify import verify
from pipeline.cli.windows import windows
from pipeline.cli.worker import SETTINGS as WORKER_SETTINGS
from pipeline.cli.worker import worker

app = typer.Typer(
    name="statelog",
    help="Stream processing over Kafka whose state is a fold of a log: exactly once, queryable, rebuilt by replay.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help comes three times as fast
    context_settings={"help_option_names": ["-h", "--help"]},
)
topics = typer.Typer(help="The pipeline's Kafka topics.", no_args_is_help=True, rich_markup_mode=None)

dead_letters = typer.Typer(
    help="What was refused: list, show, send once more.", no_args_is_help=True, rich_markup_mode=None
)

token = typer.Typer(help="Tokens for those who ask workers over HTTP.", no_args_is_help=True, rich_markup_mode=None)

app.add_typer(topics, name="topics")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(token, name="token")
register(app, "demo", demo, common=("bootstrap_servers",))
register(app, "drill", drill, common=("bootstrap_servers",))
register(app, "tradeoff", tradeoff, common=("bootstrap_servers",))
register(app, "broker", broker_command, common=())
register(topics, "create", create)
register(topics, "check", check)
register(topics, "acl", acl)
register(token, "new", new, common=())
register(app, "worker", worker, *WORKER_SETTINGS)
register(app, "produce", produce, "compression")
register(app, "get", get, *ASKING)
register(app, "scan", scan, *ASKING)
register(app, "windows", windows, *ASKING)
register(app, "status", status, *ASKING)
register(app, "console", console, *ASKING)
register(app, "verify", verify, *ASKING)
register(app, "forget", forget, *ASKING)
register(dead_letters, "ls", ls)
register(dead_letters, "show", show)
register(dead_letters, "redrive", redrive, *ASKING)
register(app, "rebuild", rebuild, "data_dir")
register(app, "reset", reset, "data_dir")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"statelog {version('statelog')}")
        raise typer.Exit


@app.callback()
def _statelog(
    _: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    """Flags of settings stand after the subcommand; each is also a STATELOG_* variable."""


def run() -> None:
    """The entry point. SIGTERM ends a command as Ctrl-C does, from the first moment on; a worker drains, once it runs.

    The first process of a container would else not hear of SIGTERM at all.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
