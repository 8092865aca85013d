"""A few questions over HTTP while everything moves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.client import Client, Meta
from pipeline.rehearsal.telling import Telling

STATE, WINDOWS, OPEN_WINDOWS = "device-state", "device-windows", "open-windows"
SCANNED = 4
SHOWN_WINDOWS = 3


def ask(client: Client, telling: Telling) -> None:
    """A device's statistics, its windows, and the first rows of a scan, each with what the answer is worth."""
    page = next(client.pages(STATE, page_rows=SCANNED))
    device = page.items[0].key
    row = client.get(STATE, device)
    if row is None:
        return  # forgotten between two questions, which nobody here does
    telling.detail(f"statelog get {device}    answered by {row.meta.owner}, {_place(row.meta)}")
    telling.table("statistics", [{"metric": name, **_figures(each)} for name, each in row.value["metrics"].items()])

    metric = min(row.value["metrics"])
    found = [item.value for item in client.rows(WINDOWS, device, {"metric": metric})]
    kind = "closed"
    if not found:
        opened = client.get(STATE, device, view=OPEN_WINDOWS)
        found = [] if opened is None else [each for each in opened.value if each["metric"] == metric]
        kind = "open"
    telling.detail(f"statelog windows {device} --metric {metric}    {len(found)} {kind}, the latest")
    telling.table("windows", [_window(each) for each in found[-SHOWN_WINDOWS:]])

    telling.detail(f"statelog scan --limit {SCANNED}    over all partitions")
    telling.table("scan", [_device(item.value) for item in page.items])
    positions = ", ".join(f"{meta.position:,}" for meta in page.meta)
    behind = sum(meta.lag.records for meta in page.meta if meta.lag)
    telling.detail(f"as of positions {positions} of partitions 0 to {len(page.meta) - 1}; {behind:,} readings behind")


def _place(meta: Meta) -> str:
    lag = "unknown" if meta.lag is None else f"{meta.lag.records:,}"
    return f"partition {meta.partition} at {meta.position:,}, lag {lag}"


def _figures(metric: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metric[name] for name in ("unit", "count", "mean", "min", "max")} | {"last": metric["last"]["value"]}


def _window(window: Mapping[str, Any]) -> dict[str, Any]:
    start = datetime.fromtimestamp(window["window_start"] / 1000, UTC)
    return {"start": f"{start:%Y-%m-%d %H:%M:%S}"} | {name: window[name] for name in ("count", "mean", "min", "max")}


def _device(state: Mapping[str, Any]) -> dict[str, Any]:
    last_seen = datetime.fromtimestamp(state["last_seen"] / 1000, UTC)
    return {name: state[name] for name in ("device_id", "readings", "duplicates")} | {
        "metrics": len(state["metrics"]),
        "last_seen": f"{last_seen:%Y-%m-%d %H:%M:%S}",
    }
