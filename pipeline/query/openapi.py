"""What a worker serves, as an OpenAPI document: made from its stage's tables and from the types that cross the wire.

`/openapi.json` serves it; that of the topology that ships is published: `python -m pipeline.query.openapi`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from operators.topology import AggregateStage, TableSpec
from pipeline.query.problems import FORMS
from pipeline.query.waiting import DEFAULT_WAIT_MS, MAX_WAIT_MS
from pipeline.query.wire import (
    CHECKPOINT_PATH,
    DEFAULT_LIMIT,
    MAX_LIMIT,
    OPENAPI_PATH,
    PROBLEM_TYPE_PREFIX,
    SKEW_PATH,
    STATUS_PATH,
    STREAM_SUFFIX,
    TABLES_ROOT,
    VERIFY_PATH,
    Page,
    Row,
    SkewReport,
    StatusReport,
)

VERSION: Final = "1"
"""Of the addresses under /v1 and what they answer: rises with each change that a reader of the old could not read."""
PUBLISHED: Final = Path(__file__).parents[2] / "schemas" / "published" / "http" / "openapi.json"
_ROOT = "#/components/schemas/"

Json = dict[str, Any]


def document(stage: AggregateStage) -> Json:
    """The document of an aggregate worker of this stage."""
    wire, components = msgspec.json.schema_components(
        [Row, Page, StatusReport, SkewReport], ref_template=_ROOT + "{name}"
    )
    row, page, status, skew = wire
    paths: dict[str, Json] = {
        "/healthz": _get("Whether the loop lives", _json_of({"type": "object"}), []),
        "/readyz": _get("Whether all that is held here is active", _json_of({"type": "object"}), []),
        "/metrics": _get("For Prometheus", {"text/plain": {"schema": {"type": "string"}}}, []),
        OPENAPI_PATH: _get("This document", _json_of({"type": "object"}), []),
        STATUS_PATH: _get("What workers do with partitions", _json_of(status), [_parameter("all", _BOOLEAN,
                          "what every worker does, not only this one")]),
        SKEW_PATH: _get("Which keys are hot", _json_of(skew), [
            _parameter("all", _BOOLEAN, "in partitions of every worker, not only of this one"),
            _parameter("prefix", _STRING, "of the keys; bytes that are no plain characters as %XX"),
            _limit("keys a partition"),
        ]),
        VERIFY_PATH: _get("The proof of some of this worker's partitions, a JSON line at a time", _lines(), [
            _parameter("partitions", {"type": "string", "pattern": r"^[0-9]{1,9}(,[0-9]{1,9})*$"},
                       "numbers, with commas between; none: all that are active here"),
            _parameter("from_source", _BOOLEAN, "fold the source anew, too"),
        ]),
    }  # fmt: skip
    number = {"name": "partition", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}
    files = {"application/octet-stream": {"schema": {"type": "string"}}}
    paths[CHECKPOINT_PATH + "/{partition}"] = _get("A standby's files, for another worker", files, [number])
    for table in stage.tables:
        paths[f"{TABLES_ROOT}/{table.name}"] = _get(f"Rows of {table.name}, of all partitions", _json_of(page), [
            _parameter("prefix", _STRING, "of the keys; bytes that are no plain characters as %XX"),
            *_paging(), _view(table), _STANDBY, *_FRESHNESS,
            _parameter("partial", _BOOLEAN, "leave out partitions that cannot answer, and say so"),
        ])  # fmt: skip
        if not table.local:
            paths |= _of_key(table, row, page)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"statelog, stage {stage.name}",
            "version": VERSION,
            "description": "Any worker answers for any key. What cannot be answered is a problem document (RFC 9457).",
        },
        "paths": paths,
        "components": {"schemas": dict(components) | {"Problem": _problem(FORMS)}, "responses": _problems()},
    }


def _of_key(table: TableSpec[Any], row: Json, page: Json) -> dict[str, Json]:
    """One row and its stream; of a table with many rows a key, those."""
    address = f"{TABLES_ROOT}/{table.name}/{{key}}"
    key = {"name": "key", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    if table.select is not None:
        select = [_parameter(name, _STRING, "narrows the rows") for name in table.select_parameters]
        about = [key, *select, *_paging(), _view(table), _STANDBY, *_FRESHNESS]
        return {address: _get(f"The rows of a key of {table.name}", _json_of(page), about)}
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    return {
        address: _get(f"A row of {table.name}", _json_of(row), [key, _view(table), _STANDBY, *_FRESHNESS]),
        address + STREAM_SUFFIX: _get(f"A row of {table.name} and its changes", stream, [key, _view(table)]),
    }


def _get(summary: str, content: Json, parameters: Sequence[Json]) -> Json:
    answer = {"description": "The answer", "content": content}
    problems = {status: {"$ref": f"#/components/responses/{status}"} for status in _problems()}
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": {"200": answer, **problems}}}


def _problems() -> dict[str, Json]:
    """By status; any address may answer with any of them."""
    problems: dict[str, Json] = {}
    for status in sorted({form.status for form in FORMS.values()}):
        kinds = [kind for kind, form in FORMS.items() if form.status == status]
        titles = "; ".join(FORMS[kind].title for kind in kinds)
        known = {"properties": {"type": {"enum": [PROBLEM_TYPE_PREFIX + kind for kind in kinds]}}}
        schema = {"allOf": [{"$ref": _ROOT + "Problem"}, known]}
        problems[str(status)] = {"description": titles, "content": {"application/problem+json": {"schema": schema}}}
    return problems


def _problem(kinds: Iterable[str]) -> Json:
    return {
        "title": "Problem",
        "description": "Why there is no answer (RFC 9457); further members are facts about it.",
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "enum": [PROBLEM_TYPE_PREFIX + kind for kind in kinds]},
            "title": _STRING,
            "status": {"type": "integer"},
            "detail": _STRING,
            "hint": _STRING,
        },
    }


def _parameter(name: str, schema: Mapping[str, Any], description: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": dict(schema), "description": description}


def _json_of(schema: Mapping[str, Any]) -> Json:
    return {"application/json": {"schema": dict(schema)}}


def _lines() -> Json:
    return {"application/x-ndjson": {"schema": {"type": "string"}}}


def _paging() -> list[Json]:
    return [_parameter("after", _STRING, "the `next` of the page before"), _limit("rows a page")]


def _limit(of_what: str) -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return _parameter("limit", limit, of_what)


def _view(table: TableSpec[Any]) -> Json:
    known = sorted(table.views)
    return _parameter("view", {"type": "string", "enum": known} if known else _STRING, "another way to show a row")


_STRING: Final = {"type": "string"}
_BOOLEAN: Final = {"type": "string", "enum": ["true", "false"], "default": "false"}
_COUNT: Final = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_STANDBY: Final = _parameter("standby", _BOOLEAN, "standbys may answer while owners cannot")
_FRESHNESS: Final = [
    _parameter("max_lag", _COUNT, "records that who answers may be behind its source"),
    _parameter(
        "min_position",
        {"type": "string", "pattern": r"^[0-9]{1,18}:[0-9]{1,18}(,[0-9]{1,18}:[0-9]{1,18})*$"},
        "PARTITION:OFFSET of messages of the pipeline's first topic that the answer has to contain",
    ),
    _parameter(
        "wait_ms",
        {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_MS, "default": DEFAULT_WAIT_MS},
        "how long to wait for min_position",
    ),
]


def text(stage: AggregateStage) -> str:
    """The document as it is published."""
    return json.dumps(document(stage), indent=2) + "\n"


if __name__ == "__main__":
    from operators.iot import topology

    PUBLISHED.parent.mkdir(exist_ok=True)
    PUBLISHED.write_text(text(topology().aggregates[0]), encoding="utf-8")
