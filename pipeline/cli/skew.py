"""`statelog status --skew`: which partitions and which keys are hot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.cli.options import Run
    from pipeline.client import Client, PartitionRow, SkewReport, SkewRow

PARTITIONS = ("partition", "owner", "state", "events_s", "share", "to_mean", "lag", "hottest_key", "stage")
KEYS = ("key", "partition", "owner", "of_partition", "of_stage", "events_s", "stage")
SURE = 2.0
"""Standard errors of a share of which only one record in sixteen was looked at: it lies so near 19 times in 20."""


class _Load(NamedTuple):
    """A partition beside the others of its stage."""

    row: PartitionRow
    skew: SkewRow | None
    """None where its worker does not tell."""
    events_s: float | None
    share: float | None
    """Of all events of the stage that are known of."""
    to_mean: float | None
    """How many times as many as if all partitions had the same."""


def show_skew(run: Run, client: Client, stage: str | None, prefix: str, keys: int) -> None:
    """A line a partition, with `--json`; else a table of partitions and one of hot keys, the hottest first."""
    from pipeline.client import Refused, SkewReport

    rows = client.status(stage)
    refused = None
    try:
        report = client.skew(stage, prefix=prefix, limit=max(keys, 1))
    except Refused as error:
        refused, report = error, SkewReport([])
    loads = loads_of(rows, report)
    if run.output.as_json:
        reasons = {each.owner: each.reason for each in report.silent}
        for load in loads:
            reason = str(refused) if refused else reasons.get(load.row.owner or "")
            run.output.record(_line(load, keys, reason))
        return
    run.output.table([_partition(load) for load in loads], PARTITIONS)
    run.output.say("")
    if refused is None:
        _show_keys(run, loads, keys)
    for worker in report.silent:
        run.output.say(f"missing: what worker {worker.owner} holds: {worker.reason}")
    if refused is not None:
        raise PipelineError(f"no keys: {refused}", hint=refused.hint) from refused


def loads_of(rows: list[PartitionRow], report: SkewReport) -> list[_Load]:
    """Rates are of what the keys were counted in; of the last seconds, as `status` has it, where nothing was told."""
    told = {(each.stage, each.partition): each for each in report.partitions}
    found = []
    for row in rows:
        skew = told.get((row.stage, row.partition))
        found.append((row, skew, row.rate if skew is None else skew.records / max(skew.seconds, 1e-3)))
    totals: dict[str, float] = {}
    counts: dict[str, int] = {}
    for row, _, rate in found:
        totals[row.stage] = totals.get(row.stage, 0.0) + (rate or 0.0)
        counts[row.stage] = counts.get(row.stage, 0) + 1
    loads = []
    for row, skew, rate in found:
        share = None if rate is None or not totals[row.stage] else rate / totals[row.stage]
        loads.append(_Load(row, skew, rate, share, None if share is None else share * counts[row.stage]))
    return loads


def _lag(row: PartitionRow) -> int | None:
    """Of a partition in mid-restore positions are of the changelogs, and tell nothing of its source."""
    if row.state == "restoring" or row.end is None or row.position is None:
        return None
    return max(row.end - row.position, 0)


def _hot_keys(load: _Load, most: int) -> list[dict[str, Any]]:
    """With their shares, and from where to where those of all records may be: 19 times in 20 they are."""
    skew = load.skew
    if skew is None or not skew.looked_at:
        return []
    keys = []
    for each in skew.keys[:most]:
        share, least = each.count / skew.looked_at, (each.count - each.over) / skew.looked_at
        margin = SURE * math.sqrt(share * (1 - share) / skew.looked_at)
        keys.append(
            {
                "key": each.key,
                "count": each.count,
                "over": each.over,
                "of_partition": share,
                "of_partition_least": max(least - margin, 0.0),
                "of_partition_most": min(share + margin, 1.0),
                "of_stage": None if load.share is None else share * load.share,
            }
        )
    return keys


def _line(load: _Load, most: int, reason: str | None) -> dict[str, Any]:
    row, skew = load.row, load.skew
    return {
        "partition": row.partition,
        "owner": row.owner,
        "state": row.state,
        "stage": row.stage,
        "events_s": load.events_s,
        "share": load.share,
        "to_mean": load.to_mean,
        "lag": _lag(row),
        "seconds": None if skew is None else skew.seconds,
        "records": None if skew is None else skew.records,
        "looked_at": None if skew is None else skew.looked_at,
        "unnamed": None if skew is None else skew.unnamed,
        "keys": None if skew is None else _hot_keys(load, most),
        "reason": None if skew is not None else reason,
    }


def _partition(load: _Load) -> dict[str, Any]:
    row, hottest = load.row, _hot_keys(load, 1)
    return {
        "partition": row.partition,
        "owner": row.owner,
        "state": row.state,
        "events_s": None if load.events_s is None else round(load.events_s),
        "share": _percent(load.share),
        "to_mean": None if load.to_mean is None else f"{load.to_mean:.2f} x",
        "lag": _lag(row),
        "hottest_key": f"{_percent(hottest[0]['of_partition'])} of it" if hottest else None,
        "stage": row.stage,
    }


def _show_keys(run: Run, loads: list[_Load], most: int) -> None:
    lines = [(key, load) for load in loads for key in _hot_keys(load, most)]
    lines.sort(key=lambda line: line[0]["of_stage"] or 0.0, reverse=True)
    shown = [
        {
            "key": key["key"],
            "partition": load.row.partition,
            "owner": load.row.owner,
            "of_partition": f"{key['of_partition_least'] * 100:.1f} to {_percent(key['of_partition_most'])}",
            "of_stage": _percent(key["of_stage"]),
            "events_s": None if load.events_s is None else round(key["of_partition"] * load.events_s),
            "stage": load.row.stage,
        }
        for key, load in lines[:most]
    ]
    skews = [load.skew for load in loads if load.skew is not None]
    if shown:
        run.output.table(shown, KEYS)
    elif skews:
        most_unnamed = max(each.unnamed / max(each.looked_at, 1) for each in skews)
        run.output.say(f"no key stands out: none has more than {_percent(most_unnamed)} of its partition")
    if skews:
        looked_at, records = sum(each.looked_at for each in skews), sum(each.records for each in skews)
        back_s = max(each.seconds for each in skews)
        run.output.say(f"of the last {back_s:.0f} s: {looked_at:,} of {records:,} records were looked at")


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share * 100:.1f} %"
