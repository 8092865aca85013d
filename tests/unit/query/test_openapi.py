"""The OpenAPI document: of every route, published as it is served, and what a worker answers is what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from operators.iot import topology
from pipeline.query.openapi import PUBLISHED, document, text
from pipeline.runtime.view import PartitionState
from tests.support.web import http
from tests.unit.query.world import STAGE, World, world

EXAMPLES = 25
"""Of each operation, and of each kind: good questions and bad ones."""


@pytest.fixture(scope="module")
def served() -> Iterator[World]:
    """Two workers; of b's two partitions one is being restored, so that some answers are documented failures."""
    with world(4) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2, 3]).states[3] = PartitionState.RESTORING
        one.put_words({f"word-{number}": number for number in range(40)})
        yield one


def test_what_is_published_is_what_is_served() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == text(topology().aggregates[0]), "run `make schemas`"


def test_a_worker_serves_the_document_of_its_own_tables(served: World) -> None:
    assert http.get(served.url("a", "/openapi.json")).json() == document(STAGE)


def test_every_route_is_described(served: World) -> None:
    """The paths that a wrong address is told to try are all of them."""
    told = http.get(served.url("a", "/nowhere")).json()["hint"].removeprefix("try ").split(", ")
    described = {re.sub(r"{\w+}", lambda part: part[0][1:-1].upper(), path) for path in document(STAGE)["paths"]}
    for table in STAGE.tables:
        described = {path.replace(f"/v1/{table.name}", "/v1/TABLE") for path in described}
    assert described - {"/v1/TABLE/KEY/stream"} == set(told)


def schema(served: World) -> Any:
    # A stream has no end: its problems alone could be looked at.
    return schemathesis.openapi.from_dict(document(STAGE)).exclude(path_regex="/stream$")


CONFORMS = [status_code_conformance, content_type_conformance, response_schema_conformance]
PATHS = sorted(path for path in document(STAGE)["paths"] if not path.endswith("/stream"))


@pytest.mark.parametrize("path", PATHS)
def test_whatever_is_asked_the_answer_is_a_documented_one(served: World, path: str) -> None:
    """Good and bad questions alike: status, media type and body are as the document says, and none is a 500."""
    operation = schema(served)[path]["GET"]
    seen: set[int] = set()
    # Nothing can be wrong about a question that has no parameters.
    asked_for = document(STAGE)["paths"][path]["get"]["parameters"]
    modes = list(schemathesis.GenerationMode) if asked_for else [schemathesis.GenerationMode.POSITIVE]

    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
                         suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
    @hypothesis.given(data=hypothesis.strategies.data())
    def ask(data: hypothesis.strategies.DataObject) -> None:
        for mode in modes:
            case = data.draw(operation.as_strategy(generation_mode=mode))
            if case.query and "wait_ms" in case.query:
                case.query["wait_ms"] = "1"
            answer = case.call(base_url=f"http://{served.servers['a'].address}")
            seen.add(answer.status_code)
            assert answer.status_code != 500, answer.text
            case.validate_response(answer, checks=CONFORMS)

    ask()
    assert seen
