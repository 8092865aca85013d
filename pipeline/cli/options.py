"""The flags that every command shares, and how a function becomes a command.

A setting comes from its flag, then from its `STATELOG_*` variable, then from its default. Flags stand after the
subcommand. Nothing here imports the settings themselves until a command runs: `statelog --help` has to be quick.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.failures import reported
from pipeline.cli.output import Output
from pipeline.errors import Misconfigured

if TYPE_CHECKING:
    from pydantic import ValidationError

    from pipeline.settings import Settings

COMMON = ("bootstrap_servers", "prefix", "topology", "log_level", "log_format")
"""The settings that are flags of every command."""

FLAGS: dict[str, str] = {
    "bootstrap_servers": "Kafka's addresses; `statelog broker` prints those of a Kafka of your own",
    "prefix": "goes before every topic, group and transactional id",
    "topology": "module:NAME of a Topology, or of a function that makes one",
    "log_level": "the least that is logged",
    "log_format": "auto: console on a terminal, JSON elsewhere",
    "id": "a worker's stable name; none: dynamic membership",
    "data_dir": "where workers keep their stores",
    "http": "HOST:PORT a worker serves HTTP on; port 0 takes a free one",
    "advertise": "HOST:PORT others reach it by; none: the one it listens on",
    "http_certificate_file": "PEM of a worker's certificate: it serves over TLS, and shows it to those it asks",
    "http_key_file": "PEM of that certificate's private key",
    "http_ca_file": "PEM of who vouches for workers, which are asked over TLS then; none: the system's",
    "http_client_ca_file": "PEM of who vouches for those who ask; none: they need no certificate",
    "http_tokens_file": "who may ask a worker: a line each, of `statelog token new`",
    "http_jwt_key_file": "PEM of the public keys by which JSON Web Tokens are checked",
    "http_jwt_issuer": "who has to have issued them",
    "http_jwt_audience": "whom they have to be meant for",
    "http_token_file": "holds the token that is shown to workers",
    "http_insecure": "lets HTTP beyond loopback do without TLS and tokens: everybody there reads everything",
    "group_protocol": "consumer is KIP-848",
    "compression": "of what workers produce",
    "session_timeout_ms": "after this silence a worker counts as dead",
    "transaction_timeout_ms": "below the session timeout; above the longest commit",
    "commit_interval_ms": "the longest a reading waits for its commit",
    "commit_records": "records after which a commit comes at once",
    "cache_entries": "decoded rows of a table that a worker keeps in memory, over all partitions",
    "restore_chunk_bytes": "changelog values a restore keeps in memory, over all partitions",
    "standby_replicas": "how many other workers keep a warm copy of each partition's store",
    "stuck_after_ms": "a partition that stands still for so long, with work, is not ready; 0: never",
    "refusal_run": "refusals in a row that stop a worker; 0 for no limit",
    "refusal_window": "half of this many latest messages refused stops a worker; 0 for no limit",
    "window_ms": "length of a window",
    "grace_ms": "how long after its end a window still takes readings",
    "window_retention_ms": "how much of a metric's past device-windows keeps",
    "traces": "OpenTelemetry: a span a commit, sent by OTLP",
}
"""Settings that may be flags, with their descriptions; a test holds them against those of the settings."""

SHORTER = {"http_token_file": "--token-file", "http_insecure": "--insecure"}
"""Flags that have not the name of their variable."""
SWITCHES = frozenset({"http_insecure"})
"""Flags without a value."""


class Run:
    """One run of a command: its settings and where its answer goes."""

    def __init__(self, given: Mapping[str, str | bool], *, as_json: bool) -> None:
        self._given = given
        self.output = Output(as_json=as_json)

    @cached_property
    def settings(self) -> Settings:
        """From flags, environment and defaults. Sets logging up. Raises Misconfigured."""
        from pydantic import ValidationError

        from pipeline.logging import set_up_logging
        from pipeline.settings import Settings

        try:
            settings = Settings(**self._given)  # type: ignore[arg-type]
        except ValidationError as error:
            raise _unreadable(error) from error
        set_up_logging(settings.log_format, settings.log_level)
        return settings


def register(
    app: typer.Typer, name: str, function: Callable[..., None], *settings: str, common: Sequence[str] = COMMON
) -> None:
    """Make `function(run, …)` a command, with flags for the common settings and for these.

    Its other parameters are typer's. Its errors become one line and an exit code.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    taken = {parameter.name for parameter in own}  # as `scan --prefix`, which is of keys
    names = [setting for setting in (*common, *settings) if setting not in taken]
    shared = [*(_flag(setting) for setting in names), _JSON]

    def command(**values: Any) -> None:
        given = {setting: values.pop(setting) for setting in names}
        run = Run({k: v for k, v in given.items() if v is not None}, as_json=values.pop(_JSON.name))
        with reported(run.output):
            function(run, **values)

    command.__doc__ = function.__doc__
    command.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    app.command(name)(command)


def _flag(setting: str) -> inspect.Parameter:
    option = typer.Option(
        SHORTER.get(setting, f"--{setting.replace('_', '-')}"),
        help=f"{FLAGS[setting]} (STATELOG_{setting.upper()})",
        show_default=False,
    )
    annotation = Annotated[bool | None, option] if setting in SWITCHES else Annotated[str | None, option]
    return inspect.Parameter(setting, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


_JSON = inspect.Parameter(
    "as_json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--json", help="print JSON lines")],
)


def _unreadable(error: ValidationError) -> Misconfigured:
    problems = [
        f"{'.'.join(map(str, each['loc']))}: {each['msg'][:1].lower()}{each['msg'][1:]}" for each in error.errors()
    ]
    names = [f"STATELOG_{str(each['loc'][0]).upper()}" for each in error.errors() if each["loc"]]
    return Misconfigured("; ".join(problems), hint=f"set by a flag or by {', '.join(names)}")
