from __future__ import annotations

from schemas.publish import PUBLISHED, documents


def test_the_published_schemas_are_those_of_the_models() -> None:
    published = {path.name: path.read_text(encoding="utf-8") for path in PUBLISHED.glob("*.json")}
    assert published == documents(), "a model has changed: run `make schemas` and look at the difference"
