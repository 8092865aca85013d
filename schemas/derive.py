"""A msgspec Struct from a pydantic model: the model is the schema, the Struct decodes it many times as fast.

A derived Struct must accept what its model accepts and mean the same by it. Hence `derive` refuses, at import, every
kind of field or constraint that it cannot carry over faithfully. A property test holds the two against each other.
"""

from __future__ import annotations

import re
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin

import annotated_types
import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.checks import Alphabet, Instant, post_init
from schemas.instant import OrRfc3339

Base = TypeVar("Base", bound=msgspec.Struct)

_SCALARS: Final = (str, int, float, NoneType)
_ALPHABET: Final = re.compile(r"\^(\[[^\]]+\])\+\$")
_BOUNDS: Final[dict[type[Any], str]] = {
    annotated_types.Ge: "ge",
    annotated_types.Le: "le",
    annotated_types.MinLen: "min_length",
    annotated_types.MaxLen: "max_length",
}
"""Constraints that pydantic and msgspec understand alike, and the name that both give them."""


def derive(
    model: type[BaseModel], base: type[Base], *, forbid_unknown_fields: bool, check_alphabets: bool = True
) -> type[Base]:
    """A subclass of `base` that decodes what `model` accepts, but for unknown and for repeated fields.

    Without `check_alphabets` it lets text of any characters pass, and decodes half as fast again.

    `base` names the fields, plainly typed, for the reader and the type checker. TypeError when its fields are not the
    model's, or when the model says something that msgspec cannot check as pydantic does.
    """
    plain = {field.name: field.type for field in msgspec.structs.fields(base)}
    if list(plain) != list(model.model_fields):
        raise TypeError(f"{base.__name__} has fields {list(plain)}, {model.__name__} has {list(model.model_fields)}")
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    checks: list[Alphabet | Instant] = []
    for name, info in model.model_fields.items():
        bounds = [item for item in info.metadata if type(item) in _BOUNDS]
        derived = _derive(Annotated[info.annotation, *bounds] if bounds else info.annotation, plain[name])
        for item in info.metadata:
            if isinstance(item, OrRfc3339):
                derived |= str
                checks.append(Instant(name, **_meta(bounds)))
            elif item not in bounds:
                alphabet = Alphabet(name, _alphabet(name, item))
                checks += [alphabet] if check_alphabets else []
        fields.append((name, derived) if info.is_required() else (name, derived, info.default))
    struct = msgspec.defstruct(
        f"{'Strict' if forbid_unknown_fields else 'Lenient'}{base.__name__}",
        fields,
        bases=(base,),
        namespace={"__post_init__": post_init(checks)} if checks else None,
        forbid_unknown_fields=forbid_unknown_fields,
        kw_only=True,
        gc=False,
    )
    return cast("type[Base]", struct)


def _derive(annotation: Any, plain: Any) -> Any:
    """The msgspec type that accepts what pydantic's strict mode accepts for `annotation`."""
    bare, metadata = _split(annotation)
    origin, arguments = get_origin(bare), get_args(bare)
    if origin in (Union, UnionType):
        derived: Any = Union[tuple(_derive(argument, plain) for argument in arguments)]  # noqa: UP007 a tuple of types
    elif origin is dict:
        derived = dict[_derive(arguments[0], str), _derive(arguments[1], str)]  # type: ignore[misc]
    elif origin is tuple:
        derived = _derive_array(arguments, plain)
    elif bare in _SCALARS:
        derived = bare
    else:
        raise TypeError(f"cannot derive a decoder for {annotation!r}")
    return Annotated[derived, msgspec.Meta(**_meta(metadata))] if metadata else derived


def _meta(bounds: list[Any]) -> dict[str, Any]:
    """Pydantic's constraints as msgspec names them; TypeError for one that msgspec does not have."""
    for bound in bounds:
        if type(bound) not in _BOUNDS:
            raise TypeError(f"cannot carry over {bound!r}")
    return {_BOUNDS[type(bound)]: getattr(bound, _BOUNDS[type(bound)]) for bound in bounds}


def _derive_array(arguments: tuple[Any, ...], plain: Any) -> Any:
    """A fixed-length array, decoded to the array-like Struct that `base` names for it."""
    fields = msgspec.structs.fields(plain)
    if not plain.__struct_config__.array_like or len(fields) != len(arguments):
        raise TypeError(f"{plain!r} is no array-like Struct of {len(arguments)} fields")
    return msgspec.defstruct(
        plain.__name__,
        [(field.name, _derive(argument, field.type)) for field, argument in zip(fields, arguments, strict=True)],
        bases=(plain,),
        forbid_unknown_fields=True,
        gc=False,
    )


def _split(annotation: Any) -> tuple[Any, list[Any]]:
    """The bare type, and its metadata with pydantic's containers unpacked."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    bare, *metadata = get_args(annotation)
    flat: list[Any] = []
    for item in metadata:
        flat += item.metadata if isinstance(item, FieldInfo) else [item]
    return bare, flat


def _alphabet(name: str, item: Any) -> bytes:
    """The ASCII characters that a pattern `^[…]+$` allows; TypeError for any other constraint."""
    pattern = getattr(item, "pattern", None)
    found = _ALPHABET.fullmatch(pattern) if pattern is not None else None
    if found is None:
        raise TypeError(f"cannot carry over {item!r} of {name}; of patterns, only those of the form ^[…]+$")
    allowed = re.compile(found[1], re.ASCII)
    return bytes(code for code in range(128) if allowed.fullmatch(chr(code)))
