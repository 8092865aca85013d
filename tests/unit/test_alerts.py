"""Alert rules and the dashboard: what they name exists, and Prometheus' own tool agrees where it is installed.

That each alert fires by its fault is for `tests/faults/test_alerts.py`.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from pipeline.runtime.catalogue import Metric
from tests.support.alerts import RULES, Rule, rules
from tests.support.promql import Labels, Scrapes, Vector, evaluate
from tests.unit.test_docs import anchors

ROOT: Final = Path(__file__).parents[2]
GRAFANA: Final = ROOT / "deploy/grafana"
TARGET_LABELS: Final = frozenset({"job", "instance"})
PROMTOOL: Final = shutil.which("promtool")
EVERY_S: Final = 15
STEPS: Final = 60
ASKED_AT_S: Final = (STEPS - 1) * EVERY_S + 7
"""So that no sample lies on the edge of a range: of those, versions of Prometheus differ."""


def exported() -> dict[str, frozenset[str]]:
    """By the name of a series, its labels: ours, those of every process, and the one that Prometheus makes itself."""
    found = {"up": TARGET_LABELS}
    for name, kind, _, labels, _ in (metric.value for metric in Metric):
        own = TARGET_LABELS | {"stage", *labels}
        if kind == "histogram":
            found |= {f"{name}_bucket": own | {"le"}, f"{name}_sum": own, f"{name}_count": own}
        else:
            found[name] = own
    of_processes = ProcessCollector(registry=CollectorRegistry()).collect()
    return found | {sample.name: TARGET_LABELS for family in of_processes for sample in family.samples}


def selectors(expression: str) -> Iterator[Any]:
    def descend(node: Any) -> Iterator[Any]:
        if isinstance(node, promql.VectorSelector):
            yield node
        for name in ("lhs", "rhs", "expr", "vector_selector"):
            if isinstance(child := getattr(node, name, None), promql.Expr):
                yield from descend(child)
        for child in getattr(node, "args", []):
            yield from descend(child)

    return descend(promql.parse(expression))


def assert_names_exist(expression: str) -> None:
    found = list(selectors(expression))
    assert found, expression
    for selector in found:
        assert selector.name in exported(), expression
        assert {each.name for each in selector.matchers.matchers} <= exported()[selector.name], expression


@pytest.mark.parametrize("rule", rules().values(), ids=lambda rule: rule.name)
def test_a_rule_names_metrics_that_exist_the_promise_it_guards_and_its_entry_in_the_runbook(rule: Rule) -> None:
    assert_names_exist(rule.expression)
    assert rule.name.startswith("Statelog")
    assert re.fullmatch("P[1-7]", rule.labels["promise"])
    assert rule.labels["severity"] in {"critical", "warning"}
    assert rule.annotations["summary"]
    page, _, anchor = rule.annotations["runbook"].partition("#")
    assert anchor == rule.name.lower()
    text = (ROOT / page).read_text()
    assert anchor in anchors(text)
    entry = re.split(r"^#+ ", text.split(f"### {rule.name}\n")[1], flags=re.MULTILINE)[0]
    assert f"**{rule.labels['promise']}**" in entry


def test_every_promise_is_guarded() -> None:
    assert {rule.labels["promise"] for rule in rules().values()} == {f"P{number}" for number in range(1, 8)}


def test_the_runbook_has_no_entry_of_an_alert_that_is_gone() -> None:
    page = (ROOT / "docs/operating.md").read_text()
    assert sorted(re.findall(r"^### (Statelog\w+)$", page, re.MULTILINE)) == sorted(rules())


# The dashboard


def dashboard() -> dict[str, Any]:
    return json.loads((GRAFANA / "statelog.json").read_text())  # type: ignore[no-any-return]


def plain(expression: str) -> str:
    """As Grafana sends it."""
    return expression.replace("$__rate_interval", "1m").replace("$job", "statelog")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def test_the_dashboard_asks_only_for_metrics_that_exist() -> None:
    for panel in panels():
        for target in panel["targets"]:
            assert_names_exist(plain(target["expr"]))
        assert panel["title"], panel["id"]
    asked = {
        each.name for panel in panels() for target in panel["targets"] for each in selectors(plain(target["expr"]))
    }
    assert asked >= {
        "statelog_committed_records_total",
        "statelog_lag_records",
        "statelog_commit_seconds_bucket",
        "statelog_aborts_total",
        "statelog_store_bytes",
        "statelog_store_keys",
        "statelog_store_get_seconds_bucket",
        "statelog_row_reads_total",
        "statelog_restore_debt_seconds",
        "statelog_dead_letters_total",
        "statelog_http_problems_total",
    }


def test_the_dashboard_loads_without_edits() -> None:
    """Its data source is the one that is provisioned beside it, its ids are its own, and no panel lies over another."""
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/statelog.yml").read_text())["providers"]
    assert provider["type"] == "file"
    board = dashboard()
    assert "__inputs" not in board, "Grafana would ask for these"
    assert board["id"] is None
    assert board["uid"] == "statelog"
    for part in (*panels(), *board["templating"]["list"]):
        assert part["datasource"] == {"type": "prometheus", "uid": source["uid"]}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


# Prometheus itself


def test_an_expression_beyond_what_is_worked_out_here_is_refused() -> None:
    for expression in ("avg(up)", "up offset 5m", "up and up", "up == bool 1", "avg_over_time(up[5m])"):
        with pytest.raises(NotImplementedError):
            evaluate(expression, Scrapes(), 0)


def series_of(expression: str, *, bad: bool) -> dict[tuple[str, Labels], list[float]]:
    """Made-up samples of what an expression selects: a level, or for a counter a rise; each with a reset, and a gap."""
    made: dict[tuple[str, Labels], list[float]] = {}
    for selector in selectors(expression):
        for instance in ("a:1", "b:2"):
            labels = {"job": "statelog", "instance": instance}
            if selector.name != "up":
                labels |= {"stage": "aggregate"}
            labels |= {each.name: each.value for each in selector.matchers.matchers if each.name != "job"}
            # What is good the more there is of it.
            is_good = selector.name in {"up", "statelog_records_total"} or labels.get("state") == "active"
            size = 4_000 if bad != is_good else 0
            rises = selector.name.endswith("_total")
            values = [float(size * step if rises else size) for step in range(STEPS)]
            if rises:
                values[STEPS // 2 :] = [value - values[STEPS // 2] for value in values[STEPS // 2 :]]  # a restart
            made[selector.name, frozenset(labels.items())] = values
    return made


def shown(name: str, labels: Labels) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels)) + "}"


def ours(expression: str, made: dict[tuple[str, Labels], list[float]]) -> Vector:
    scrapes = Scrapes()
    for step in range(STEPS):
        for (name, labels), values in made.items():
            target = frozenset({("series", shown(name, labels))})
            scrapes.put(step * EVERY_S, {(name, labels): values[step]}, target)
    found = evaluate(expression, scrapes, ASKED_AT_S)
    assert isinstance(found, dict)
    return found


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(PROMTOOL), *arguments], capture_output=True, text=True, check=False)


def as_promtool_has_it(rule: Rule, *, bad: bool) -> dict[str, Any]:
    """Made-up series, and what we find in them."""
    made = series_of(rule.expression, bad=bad)
    found = ours(rule.expression, made)
    assert bool(found) is bad, rule.name
    comparison = promql.parse(rule.expression)
    keeps_name = isinstance(comparison, promql.BinaryExpr) and isinstance(comparison.lhs, promql.VectorSelector)
    (first, *_) = selectors(rule.expression)
    samples = [
        {"labels": shown(first.name if keeps_name else "", labels), "value": value} for labels, value in found.items()
    ]
    return {
        "interval": f"{EVERY_S}s",
        "input_series": [
            {"series": shown(name, labels), "values": " ".join(f"{value:.17g}" for value in values)}
            for (name, labels), values in made.items()
        ],
        "promql_expr_test": [{"expr": rule.expression, "eval_time": f"{ASKED_AT_S}s", "exp_samples": samples}],
    }


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules_and_comes_to_the_same_numbers(tmp_path: Path) -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout
    tests = [as_promtool_has_it(rule, bad=bad) for rule in rules().values() for bad in (True, False)]
    plan = {"rule_files": [str(RULES)], "evaluation_interval": f"{EVERY_S}s", "tests": tests}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(plan))
    tested = promtool("test", "rules", str(tmp_path / "test.yml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("bad", [True, False], ids=["fault", "no fault"])
@pytest.mark.parametrize("rule", rules().values(), ids=lambda rule: rule.name)
def test_a_rule_is_within_what_is_worked_out_here(rule: Rule, bad: bool) -> None:
    assert bool(ours(rule.expression, series_of(rule.expression, bad=bad))) is bad


def test_a_series_that_ended_is_not_looked_at(tmp_path: Path) -> None:
    scrapes = Scrapes()
    scrapes.scrape(0, 'statelog_ready{stage="x"} 1\n', job="statelog", instance="a:1")
    assert evaluate("statelog_ready == 1", scrapes, 10)
    scrapes.scrape(15, None, job="statelog", instance="a:1")
    assert evaluate("statelog_ready == 1", scrapes, 15) == {}
    assert list(evaluate('up{job=~"statelog.*"} == 0', scrapes, 15).values()) == [0]  # type: ignore[union-attr]
    assert evaluate("up", scrapes, 15 + 301) == {}
    assert math.isinf(evaluate("1 / 0", scrapes, 15))  # type: ignore[arg-type]
