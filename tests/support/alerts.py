"""The alert rules that come with the project, and what fires of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import yaml

from tests.support.promql import Scrapes, Vector, evaluate
from tests.support.web import http

RULES: Final = Path(__file__).parents[2] / "deploy/prometheus/alerts.yml"


class Rule(NamedTuple):
    """One alert."""

    name: str
    expression: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def rules() -> dict[str, Rule]:
    """By name."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {
        each["alert"]: Rule(
            each["alert"],
            each["expr"],
            each["labels"],
            each["annotations"],
        )
        for each in group["rules"]
    }


class Watch:
    """A Prometheus that scrapes when it is told to. What an alert finds counts at once, whatever its `for`."""

    def __init__(self, *targets: str) -> None:
        """`targets` are HOST:PORT."""
        self._targets = set(targets)
        self._scrapes = Scrapes()
        self._rules = rules()

    def add(self, target: str) -> None:
        self._targets.add(target)

    def firing(self) -> dict[str, Vector]:
        """Scrape everything once; by alert, what it fires for."""
        now = time.monotonic()
        for target in sorted(self._targets):
            self._scrapes.scrape(now, _answer(target), job="statelog", instance=target)
        found = {name: evaluate(rule.expression, self._scrapes, now) for name, rule in self._rules.items()}
        return {name: vector for name, vector in found.items() if isinstance(vector, dict) and vector}


def _answer(target: str) -> str | None:
    try:
        answer = http.get(f"http://{target}/metrics", timeout=5)
    except httpx.TransportError:
        return None
    return answer.text if answer.status_code == 200 else None
