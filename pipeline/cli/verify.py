"""`statelog verify`: prove each partition's store against the log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.asking import StageOption, asking
from pipeline.cli.options import Run
from pipeline.cli.verify_bars import verify_bars
from pipeline.errors import NotProvable, StatesDiffer

if TYPE_CHECKING:
    from pipeline.cli.output import Output
    from pipeline.client import Client

COLUMNS = ("stage", "partition", "owner", "position", "records", "seconds", "verdict", "digest")
SHOWN_KEYS = 10

EQUAL, DIFFERS, NOT_PROVABLE = "equal", "differs", "not provable"

FromSource = Annotated[
    bool, typer.Option("--from-source", help="fold the source with the operators, rather than the changelogs")
]


def verify(run: Run, from_source: FromSource = False, stage: StageOption = None) -> None:
    """Have each owner prove its partitions: its store's digest is that of the log, folded beside it.

    Exit 3 when a store differs, with the first of the differing keys; exit 4 when the log no longer holds what the
    proof needs. The combined digest is of all partitions in order: before and after a rebuild it is the same.
    """
    with asking(run) as (client, topology):
        stages = [stage] if stage is not None else [each.name for each in topology.aggregates]
        rows = [row for name in stages for row in _proved(run.output, client, name, from_source)]
    run.output.table(rows, COLUMNS)
    combined = combined_digest(rows)
    if run.output.as_json:
        run.output.record({"combined_digest": combined, "equal": all(row["equal"] for row in rows)})
    else:
        run.output.say(f"combined digest {combined}")
    conclude(rows)


def combined_digest(rows: Sequence[dict[str, Any]]) -> str:
    """SHA-256 over the partitions' digests, in the order of stages and partitions."""
    return hashlib.sha256(b"".join(bytes.fromhex(row["digest"]) for row in rows)).hexdigest()


def _proved(output: Output, client: Client, stage: str, from_source: bool) -> list[dict[str, Any]]:
    """A verdict a partition, in order, with what `status` says of the partition beside it."""
    from msgspec import to_builtins

    verdicts: dict[int, dict[str, Any]] = {}
    with verify_bars(silent=output.as_json) as bars:
        for line in client.verify(stage, from_source=from_source):
            if "digest" in line:
                verdicts[line["partition"]] = line
            elif "skipped" not in line:  # one that has moved away: the client misses it at the end
                bars.moved(line)
    status = {row.partition: to_builtins(row) for row in client.status(stage)}
    return [
        {**status[partition], **verdicts[partition], "verdict": _verdict(verdicts[partition])}
        for partition in sorted(verdicts)
    ]


def _verdict(verdict: dict[str, Any]) -> str:
    if not verdict["provable"]:
        return NOT_PROVABLE
    return EQUAL if verdict["equal"] else DIFFERS


def conclude(rows: Sequence[dict[str, Any]]) -> None:
    """Raises StatesDiffer or NotProvable, in this order, unless every store was proved."""
    differing = [row for row in rows if row["verdict"] == DIFFERS]
    if differing:
        keys = [
            f"{each['table']} {each['key']} ({each['what']})" for row in differing for each in row["differing_keys"]
        ]
        shown = "; ".join(keys[:SHOWN_KEYS]) + ("; …" if len(keys) > SHOWN_KEYS else "")
        raise StatesDiffer(
            f"partitions {_numbers(differing)} differ from the log: {shown}",
            hint="statelog rebuild makes a store anew; keep this one, it is evidence",
        )
    unproved = [row for row in rows if row["verdict"] == NOT_PROVABLE]
    if unproved:
        why = "; ".join(dict.fromkeys(row["why"] for row in unproved))
        raise NotProvable(
            f"partitions {_numbers(unproved)} cannot be proved: {why}",
            hint="nothing is known to be wrong: the log no longer holds what the proof needs",
        )


def _numbers(rows: Sequence[dict[str, Any]]) -> str:
    return ", ".join(str(row["partition"]) for row in rows)
