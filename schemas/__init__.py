"""What crosses a boundary: pydantic models, and the bytes of them that the hot path reads and writes."""

from schemas.reasons import Reason, SchemaError

__all__ = ["Reason", "SchemaError"]
