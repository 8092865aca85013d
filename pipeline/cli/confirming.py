"""Asking before what cannot be taken back."""

from __future__ import annotations

import sys

import typer

from pipeline.errors import Misconfigured


def confirm(question: str, *, yes: bool) -> None:
    """Return on a yes; Misconfigured where nobody is there to give it."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Misconfigured("nobody is there to confirm", hint=f"--yes says yes to: {question}")
    typer.confirm(question, abort=True)
