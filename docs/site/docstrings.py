"""Docstrings as they are written here, for autodoc, which expects reStructuredText of them."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel
from sphinx.application import Sphinx

_CODE: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_OF_A_NAMED_TUPLE: Final = "Alias for field number"


def prose(_app: Sphinx, _kind: str, _name: str, _of: object, _options: object, lines: list[str]) -> None:
    """One backtick is code, also right before a letter (`put`s); a docstring that nobody wrote is none."""
    if lines and lines[0].startswith(_OF_A_NAMED_TUPLE):
        lines.clear()
    lines[:] = _CODE.sub(r"``\1``\\ ", "\n".join(lines)).split("\n")


def signature(_app: Sphinx, kind: str, _name: str, of: Any, *_: object) -> tuple[str, None] | None:
    """None of a class that is never called, or whose fields, listed below it, are its arguments."""
    listed = kind == "class" and (
        getattr(of, "_is_protocol", False) or is_dataclass(of) or issubclass(of, (BaseModel, Enum))
    )
    return ("", None) if listed else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", prose)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
