"""Publishes the JSON Schemas of all that crosses a boundary: `python -m schemas.publish`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from schemas.dead_letter import DeadLetter
from schemas.results import DeviceState, WindowResult
from schemas.telemetry import RawReading, Reading

PUBLISHED: Final = Path(__file__).with_name("published")

MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "raw-reading": RawReading,
    "reading": Reading,
    "device-state": DeviceState,
    "window-result": WindowResult,
    "dead-letter": DeadLetter,
}


def documents() -> dict[str, str]:
    """The text of each schema, by file name."""
    return {f"{name}.json": _document(model) for name, model in MODELS.items()}


def _document(model: type[BaseModel]) -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PUBLISHED.mkdir(exist_ok=True)
    for name, text in documents().items():
        (PUBLISHED / name).write_text(text, encoding="utf-8")
