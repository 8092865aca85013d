"""From bytes to a record, or to the reason why not.

msgspec decodes what is good, fast. What it refuses goes to pydantic, whose verdict has a reason that people can read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from schemas.derive import derive
from schemas.fields import MAX_MESSAGE_BYTES
from schemas.verdict import check_bytes, no_json, no_record

Record = TypeVar("Record", bound=msgspec.Struct)

_any: Final = msgspec.json.Decoder()


class Decoder(Generic[Record]):
    """Decodes JSON that a model accepts to the Struct of its fields.

    No input is parsed that is longer than 64 KiB, or, but for the fields of the Struct, deeper than 8 levels.
    """

    def __init__(self, model: type[BaseModel], record: type[Record]) -> None:
        self._model = model
        self._fields = frozenset(model.model_fields)
        self._strict = msgspec.json.Decoder(derive(model, record, forbid_unknown_fields=True)).decode
        self._lenient = derive(model, record, forbid_unknown_fields=False)
        skimmed = derive(model, record, forbid_unknown_fields=True, check_alphabets=False)
        self.skim: Callable[[bytes], Record] = msgspec.json.Decoder(skimmed).decode
        """As `decode`, in two thirds of the time, for callers that look ids up among known ones and have looked at the
        length: ids may be of any characters, and a ValueError says only that it takes `decode` to judge."""
        self.unknown_fields = 0
        """How many fields that the model does not know were passed over, in all."""

    def decode(self, data: bytes) -> Record:
        """Raises SchemaError, and nothing else, for bytes that the model refuses."""
        if len(data) <= MAX_MESSAGE_BYTES:
            try:
                return self._strict(data)
            except ValueError:  # every error of msgspec, and text that is not UTF-8
                pass
        check_bytes(data)
        try:
            return self._decode_with_unknown_fields(data)
        except ValueError:
            return self._decode_by_model(data)

    def _decode_with_unknown_fields(self, data: bytes) -> Record:
        """Twice as fast as the model: one new field in a firmware must not halve the throughput of a fleet."""
        fields = _any.decode(data)
        record = msgspec.convert(fields, self._lenient)
        self.unknown_fields += len(fields.keys() - self._fields)
        return record

    def _decode_by_model(self, data: bytes) -> Record:
        """The verdict; rarely good, such as for a number in an unknown field that is too large for msgspec.

        Parsed and written again first: as it is, pydantic would look at each of several values of a repeated tag,
        though only the last of them counts.
        """
        try:
            fields = from_json(data)
        except ValueError as error:
            raise no_json(error, data) from None
        try:
            accepted = self._model.model_validate_json(to_json(fields, inf_nan_mode="constants"))
        except ValidationError as error:
            raise no_record(error) from None
        self.unknown_fields += len(fields.keys() - self._fields)
        return msgspec.convert(accepted.model_dump(), self._lenient)
