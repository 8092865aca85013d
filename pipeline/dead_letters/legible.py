"""A refused message as people read it."""

from __future__ import annotations


def text_of(value: bytes) -> str | None:
    """Bytes as text where they are UTF-8 that can be shown as it is, without a control or invisible character."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if text and all(each.isprintable() or each in "\n\t" for each in text) else None


def hex_dump(value: bytes) -> str:
    """Sixteen bytes a line: where, what, and which of them are characters."""
    lines = (value[at : at + 16] for at in range(0, len(value), 16))
    return "\n".join(
        f"{16 * number:08x}  {line.hex(' '):<47}  {''.join(chr(each) if 32 <= each < 127 else '.' for each in line)}"
        for number, line in enumerate(lines)
    )
