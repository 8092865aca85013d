"""A topology as the page draws it."""

from __future__ import annotations

from typing import Any

from operators.topology import DEAD_LETTERS, AggregateStage, Stage, Topology


def graph(topology: Topology) -> dict[str, Any]:
    """Stages and topics by name, in their order; every stage also sends to the dead letters."""
    topics = [topic for stage in topology.stages for topic in (stage.source, *stage.outputs)]
    return {
        "name": topology.name,
        "stages": [_stage(stage) for stage in topology.stages],
        "topics": list(dict.fromkeys([*topics, DEAD_LETTERS])),
        "dead_letters": DEAD_LETTERS,
    }


def _stage(stage: Stage) -> dict[str, Any]:
    tables = stage.tables if isinstance(stage, AggregateStage) else ()
    return {
        "name": stage.name,
        "kind": "aggregate" if isinstance(stage, AggregateStage) else "transform",
        "source": stage.source,
        "outputs": list(stage.outputs),
        "tables": [
            {
                "name": table.name,
                "changelog": table.changelog,
                "local": table.local,
                "many": table.select is not None,
                "select": list(table.select_parameters),
                "views": list(table.views),
            }
            for table in tables
        ],
    }
