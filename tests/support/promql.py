"""Prometheus' evaluation of the expressions that our rules are made of, on scrapes that a test made itself.

The parser is a library; what it parses is worked out here, and only what the rules need: selectors, `rate` and
`increase`, `sum`, `max` and `min` with `by`, arithmetic and comparisons. Anything else raises NotImplementedError.
`tests/unit/test_alerts.py` holds it against Prometheus' own tool, where that is installed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector
Sample = tuple[float, float | None]
"""When, and the number; None where the series has ended."""

LOOKBACK_S: Final = 300.0
"""How old a sample may be that an instant selector takes."""

_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": lambda left, right: left / right if right else left * float("inf"),
}  # fmt: skip
_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne
}  # fmt: skip
_AGGREGATES: Final[Mapping[str, Callable[[list[float]], float]]] = {"sum": sum, "max": max, "min": min}


class Scrapes:
    """Samples of a few targets, as Prometheus keeps them. Times are seconds, and rise."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, Labels], list[Sample]] = {}
        self._of_target: dict[Labels, set[tuple[str, Labels]]] = {}

    def scrape(self, at_s: float, text: str | None, **target: str) -> None:
        """What a target answered; None when it did not. `target` are the labels that a scrape adds: job, instance."""
        samples: dict[tuple[str, Labels], float] = {}
        for family in text_string_to_metric_families(text or ""):
            for sample in family.samples:
                samples[sample.name, frozenset((sample.labels | target).items())] = sample.value
        self.put(at_s, samples, frozenset(target.items()), up=text is not None)

    def put(self, at_s: float, samples: Mapping[tuple[str, Labels], float], target: Labels, *, up: bool = True) -> None:
        for gone in self._of_target.get(target, set()) - set(samples):
            self._series[gone].append((at_s, None))
        self._of_target[target] = set(samples)
        for series, value in {**samples, ("up", target): float(up)}.items():
            self._series.setdefault(series, []).append((at_s, value))

    def select(self, selector: Any, start_s: float, end_s: float) -> Iterator[tuple[Labels, list[Sample]]]:
        """Series that match, each with its samples between the two."""
        if selector.offset or selector.at:
            raise NotImplementedError("offset and @")
        for (name, labels), samples in self._series.items():
            if name == selector.name and all(_matches(each, dict(labels)) for each in selector.matchers.matchers):
                within = [(at_s, value) for at_s, value in samples if start_s <= at_s <= end_s]
                if within:
                    yield labels, within


def evaluate(expression: str, scrapes: Scrapes, at_s: float) -> Value:
    """A number, or by labels the numbers of a vector; of an alert: what it fires for."""
    return _Evaluation(scrapes, at_s).value(promql.parse(expression))


class _Evaluation:
    def __init__(self, scrapes: Scrapes, at_s: float) -> None:
        self._scrapes = scrapes
        self._at_s = at_s

    def value(self, node: Any) -> Value:
        match type(node).__name__:
            case "NumberLiteral":
                return float(node.val)
            case "ParenExpr":
                return self.value(node.expr)
            case "VectorSelector":
                return self._latest(node)
            case "Call" if node.func.name in {"rate", "increase"}:
                return self._increase(node.args[0], per_second=node.func.name == "rate")
            case "AggregateExpr":
                return self._aggregate(node)
            case "BinaryExpr":
                return self._binary(node)
        raise NotImplementedError(type(node).__name__)

    def _latest(self, selector: Any) -> Vector:
        found = self._scrapes.select(selector, self._at_s - LOOKBACK_S, self._at_s)
        return {labels: samples[-1][1] for labels, samples in found if samples[-1][1] is not None}

    def _increase(self, matrix: Any, *, per_second: bool) -> Vector:
        range_s = matrix.range.total_seconds()
        start_s = self._at_s - range_s
        result = {}
        for labels, found in self._scrapes.select(matrix.vector_selector, start_s, self._at_s):
            samples = [(at_s, value) for at_s, value in found if value is not None]
            if len(samples) > 1:
                increase, factor = _extrapolated(samples, start_s, self._at_s)
                result[labels] = increase * (factor / range_s if per_second else factor)
        return result

    def _aggregate(self, node: Any) -> Vector:
        aggregate = _AGGREGATES.get(str(node.op))
        if aggregate is None or (node.modifier and str(node.modifier.type) != "AggModifierType.By"):
            raise NotImplementedError(str(node.op))
        kept = set(node.modifier.labels) if node.modifier else set()
        groups: dict[Labels, list[float]] = {}
        for labels, value in _vector(self.value(node.expr)).items():
            groups.setdefault(frozenset(each for each in labels if each[0] in kept), []).append(value)
        return {labels: aggregate(values) for labels, values in groups.items()}

    def _binary(self, node: Any) -> Value:
        if node.modifier is not None:
            raise NotImplementedError("bool, on, ignoring, group_left")
        sign, left, right = str(node.op), self.value(node.lhs), self.value(node.rhs)
        if isinstance(left, float) and isinstance(right, float):
            return _ARITHMETIC[sign](left, right)
        pairs = {
            labels: (_at(left, labels), _at(right, labels))
            for labels in (left if isinstance(left, dict) else _vector(right))
            if isinstance(right, float) or labels in right
        }
        if sign in _COMPARISONS:
            kept = left if isinstance(left, dict) else _vector(right)
            return {labels: kept[labels] for labels, pair in pairs.items() if _COMPARISONS[sign](*pair)}
        return {labels: _ARITHMETIC[sign](*pair) for labels, pair in pairs.items()}


def _at(value: Value, labels: Labels) -> float:
    return value if isinstance(value, float) else value[labels]


def _vector(value: Value) -> Vector:
    if isinstance(value, float):
        raise NotImplementedError("a number where a vector is needed")
    return value


def _matches(matcher: Any, labels: Mapping[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    match str(matcher.op):
        case "MatchOp.Equal":
            return bool(value == matcher.value)
        case "MatchOp.NotEqual":
            return bool(value != matcher.value)
        case "MatchOp.Re":
            return re.fullmatch(matcher.value, value) is not None
        case "MatchOp.NotRe":
            return re.fullmatch(matcher.value, value) is None
    raise NotImplementedError(str(matcher.op))


def _extrapolated(samples: list[tuple[float, float]], start_s: float, end_s: float) -> tuple[float, float]:
    """A counter's increase, resets taken into account, and by what Prometheus draws it out to the ends of its range."""
    (first_s, first), (last_s, last) = samples[0], samples[-1]
    increase = last - first
    for (_, before), (_, after) in pairwise(samples):
        if after < before:
            increase += before
    sampled_s = last_s - first_s
    apart_s = sampled_s / (len(samples) - 1)
    to_start_s, to_end_s = first_s - start_s, end_s - last_s
    if to_start_s >= 1.1 * apart_s:
        to_start_s = apart_s / 2
    if increase > 0 and first >= 0:  # a counter is never below zero
        to_start_s = min(to_start_s, sampled_s * (first / increase))
    if to_end_s >= 1.1 * apart_s:
        to_end_s = apart_s / 2
    return increase, (sampled_s + to_start_s + to_end_s) / sampled_s
