"""`statelog token`: tokens for those who ask workers over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Run

TokenName = Annotated[str, typer.Option("--name", help="who is to have it: letters, digits and . _ @ -")]
Scopes = Annotated[
    list[str],
    typer.Option(
        "--scope",
        help="what it lets ask, as often as needed: status, metrics, verify, checkpoint, read:TABLE, read:TABLE:PREFIX "
        "(a TABLE of * is all of them)",
    ),
]


def new(run: Run, name: TokenName, scope: Scopes) -> None:
    """Make a token, which is shown this once, and the line by which workers know it, which tells it to nobody.

    The line goes into the file that STATELOG_HTTP_TOKENS_FILE names.
    """
    from pipeline.query.bearer_tokens import line_of, new_token

    token = new_token()
    line = line_of(name, token, scope)
    if run.output.as_json:
        run.output.record({"token": token, "line": line})
        return
    run.output.say(f"token, for {name} alone: {token}")
    run.output.say(f"line of the workers' tokens file: {line}")
