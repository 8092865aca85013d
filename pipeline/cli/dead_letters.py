"""`statelog dead-letters`: list them, look at one, send them into the pipeline once more."""

from __future__ import annotations

import heapq
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.asking import asking
from pipeline.cli.confirming import confirm
from pipeline.cli.options import Run
from pipeline.errors import Misconfigured, PipelineError

if TYPE_CHECKING:
    from operators.topology import Topology
    from pipeline.client import Client
    from pipeline.dead_letters.letters import DeadLetters, Letter, Selection
    from pipeline.dead_letters.outlook import Outlook
    from pipeline.log.api import Log

COLUMNS = ("id", "refused", "reason", "stage", "key", "origin", "redriven", "detail")
SHOWN_KEYS = 20

Reasons = Annotated[list[str] | None, typer.Option("--reason", help="only of this reason; may be given again")]
OfStage = Annotated[str | None, typer.Option("--stage", help="only what this stage refused")]
OfKey = Annotated[str, typer.Option("--key", metavar="PREFIX", help="only keys that begin with this")]
Since = Annotated[str | None, typer.Option(help="only what was refused so lately: 90s, 30m, 12h, 7d")]
Limit = Annotated[int, typer.Option(min=0, help="the newest so many; 0 for all")]
One = Annotated[str, typer.Argument(metavar="ID", help="PARTITION:OFFSET, as `ls` shows it")]
Some = Annotated[list[str] | None, typer.Argument(metavar="ID", help="PARTITION:OFFSET, as `ls` shows it")]
Raw = Annotated[bool, typer.Option("--raw", help="write the message's bytes to stdout, and nothing else")]
Everything = Annotated[bool, typer.Option("--all", help="every one that there is")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would come of it, and send nothing")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


def ls(
    run: Run,
    reason: Reasons = None,
    stage: OfStage = None,
    key: OfKey = "",
    since: Since = None,
    limit: Limit = 20,
) -> None:
    """List dead letters, the newest last, and count them by reason."""
    reasons: Counter[str] = Counter()
    with _opened(run) as (letters, _, _, _):
        with run.output.progress(f"reading {letters.topic}", letters.count()) as progress:
            redriven = letters.redriven()
            found = _counted(letters.find(_selection(reason, stage, key, since), progress.advance), reasons)
            newest = heapq.nlargest(limit, found, key=_when) if limit else sorted(found, key=_when, reverse=True)
        rows = [_line(letter, letter.place in redriven) for letter in reversed(newest)]
    if run.output.as_json:
        run.output.table((_json(letter, letter.place in redriven) for letter in reversed(newest)), [])
        return
    run.output.table(rows, COLUMNS)
    listed = ", ".join(f"{name} {count:,}" for name, count in reasons.most_common())
    run.output.say(f"{reasons.total():,} dead letters{': ' if listed else ''}{listed}")
    if letters.strangers:
        run.output.say(f"{letters.strangers:,} records in {letters.topic} are none: no worker wrote them")
    if len(rows) < reasons.total():
        run.output.say(f"the newest {len(rows)} are shown; --limit 0 lists all")


def show(run: Run, place: One, raw: Raw = False) -> None:
    """Show a dead letter whole: what was sent, byte for byte, where it was, and why it was refused."""
    from pipeline.dead_letters.letters import Place

    with _opened(run) as (letters, _, _, _):
        letter = letters.at(Place.parse(place))
        if letter is None:
            raise PipelineError(
                f"there is no dead letter {place}",
                hint="`statelog dead-letters ls` lists them; retention may have had it",
            )
        redriven = letter.place in letters.redriven()
    value = letter.content.value
    if raw:
        sys.stdout.buffer.write(value or b"")
        return
    if run.output.as_json:
        run.output.record(_json(letter, redriven))
        return
    run.output.record({**_line(letter, redriven), "bytes": None if value is None else len(value)})
    run.output.say("")
    run.output.say(_legible(value))


def redrive(
    run: Run,
    places: Some = None,
    reason: Reasons = None,
    stage: OfStage = None,
    key: OfKey = "",
    since: Since = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Send dead letters into the pipeline once more, each at most once, after saying what would come of it.

    What would be refused again is left out. What a transform refused goes back as it was; what the device aggregate
    refused, as telemetry. Devices that have folded newer readings since are named first: to them it comes late.
    """
    from pipeline.dead_letters.outlook import Outlooks
    from pipeline.dead_letters.redriving import redrive as send

    selection = _selection(reason, stage, key, since, places or ())
    if selection.everything and not everything:
        raise Misconfigured(
            "which dead letters?", hint="give their ids, or --reason, --stage, --key, --since, or --all"
        )
    with _opened(run) as (letters, topology, log, client):
        with run.output.progress("looking at dead letters", letters.count()) as progress:
            outlooks = list(Outlooks(topology, letters, client).of(selection, progress.advance))
        going = [each for each in outlooks if each.topic]
        _tell(run, outlooks)
        if dry_run or not going:
            return
        into = ", ".join(sorted({letters.prefix + each.topic for each in going}))
        confirm(f"send {len(going):,} dead letters to {into} once more?", yes=yes)
        with run.output.progress("sending", len(going)) as progress:
            sent = send(topology, letters, log, [each.place for each in going], progress.advance)
    run.output.record({"sent": sent})


@contextmanager
def _opened(run: Run) -> Iterator[tuple[DeadLetters, Topology, Log, Client]]:
    from pipeline.dead_letters.letters import DeadLetters
    from pipeline.log.kafka import connect

    with asking(run) as (client, topology):
        log = connect(run.settings)
        admin = log.admin()
        try:
            yield DeadLetters(log, admin, run.settings.prefix), topology, log, client
        finally:
            admin.close()


def _selection(
    reasons: Sequence[str] | None, stage: str | None, key: str, since: str | None, places: Sequence[str] = ()
) -> Selection:
    from pipeline.cli.durations import milliseconds
    from pipeline.dead_letters.letters import Place, Selection

    since_ms = 0 if since is None else int(time.time() * 1000) - milliseconds(since)
    return Selection(frozenset(map(Place.parse, places)), frozenset(reasons or ()), stage, key, since_ms)


def _counted(letters: Iterator[Letter], reasons: Counter[str]) -> Iterator[Letter]:
    for letter in letters:
        reasons[letter.content.reason] += 1
        yield letter


def _when(letter: Letter) -> tuple[int, Any]:
    return letter.content.time, letter.place


def _line(letter: Letter, redriven: bool) -> dict[str, Any]:
    content = letter.content
    return {
        "id": str(letter.place),
        "refused": datetime.fromtimestamp(content.time / 1000, UTC)
        .isoformat(timespec="seconds")
        .replace("+00:00", "Z"),
        "reason": content.reason,
        "stage": content.stage,
        "key": None if content.key is None else content.key.decode(errors="backslashreplace"),
        "origin": f"{content.origin_topic}/{content.origin_partition}@{content.origin_offset}",
        "redriven": redriven,
        "detail": content.detail,
    }


def _json(letter: Letter, redriven: bool) -> dict[str, Any]:
    return {"id": str(letter.place), "redriven": redriven, **letter.content.model_dump(mode="json")}


def _legible(value: bytes | None) -> str:
    """Bytes as text where a terminal can show that; else as a hex dump."""
    from pipeline.dead_letters.legible import hex_dump, text_of

    if value is None:
        return "(no value)"
    return text_of(value) or hex_dump(value)


def _tell(run: Run, outlooks: Sequence[Outlook]) -> None:
    if run.output.as_json:
        run.output.table(({**each._asdict(), "place": str(each.place)} for each in outlooks), [])
        return
    outcomes = Counter((each.reason, f"goes to {each.topic}" if each.topic else each.refused) for each in outlooks)
    rows = [{"letters": n, "reason": reason, "what comes of it": what} for (reason, what), n in outcomes.most_common()]
    run.output.table(rows, ["letters", "reason", "what comes of it"])
    newer = {each.key: each.newer for each in outlooks if each.newer}
    if newer:
        run.output.say("")
        run.output.say(f"keys that have folded newer records since: {len(newer):,}")
        run.output.table(
            [{"key": key, "since": since} for key, since in list(newer.items())[:SHOWN_KEYS]], ["key", "since"]
        )
        if len(newer) > SHOWN_KEYS:
            run.output.say(f"and {len(newer) - SHOWN_KEYS:,} more; --dry-run --json lists all")
    for unknown, count in Counter(each.unknown for each in outlooks if each.unknown).items():
        run.output.say(f"of {count:,} it cannot be told what was folded since: {unknown}")
