"""`statelog worker`: one worker of a stage, in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Run

if TYPE_CHECKING:
    from pipeline.runtime.restorer import RestoreListener

StageName = Annotated[
    str, typer.Argument(metavar="STAGE", help="a stage of the topology; of the IoT one: transform or aggregate")
]

SETTINGS = (
    "id",
    "data_dir",
    "http",
    "advertise",
    "http_certificate_file",
    "http_key_file",
    "http_ca_file",
    "http_client_ca_file",
    "http_tokens_file",
    "http_jwt_key_file",
    "http_jwt_issuer",
    "http_jwt_audience",
    "http_token_file",
    "http_insecure",
    "group_protocol",
    "session_timeout_ms",
    "transaction_timeout_ms",
    "commit_interval_ms",
    "commit_records",
    "cache_entries",
    "compression",
    "restore_chunk_bytes",
    "standby_replicas",
    "stuck_after_ms",
    "refusal_run",
    "refusal_window",
    "window_ms",
    "grace_ms",
    "window_retention_ms",
    "traces",
)


def worker(run: Run, stage: StageName) -> None:
    """Run a worker until SIGTERM or SIGINT, which drain it: commit, close, exit 0.

    Workers of a stage share its partitions; start more for more throughput, kill any at any time.
    """
    from pipeline.service import run_worker

    run_worker(run.settings, stage, _restore_listener(as_json=run.output.as_json))


def _restore_listener(*, as_json: bool) -> RestoreListener:
    if sys.stderr.isatty() and not as_json:
        from pipeline.cli.restore_bars import RestoreBars

        return RestoreBars()
    from pipeline.runtime.progress_log import RestoreLog

    return RestoreLog()
