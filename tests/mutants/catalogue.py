"""The bugs, as `catalogue.toml` lists them, and the patches that plant them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec

HERE: Final = Path(__file__).parent
PATCHES: Final = HERE / "patches"
SHIPPED: Final = ("pipeline", "operators", "schemas")
"""Where bugs are planted: never in a test, which would prove nothing."""


class Bug(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mistake that somebody could make."""

    promise: Annotated[str, msgspec.Meta(pattern=r"^(P[1-7]( P[1-7])*|security)$")]
    """Those of docs/guarantees.md that it breaks; `security`: what docs/security.md says of HTTP."""
    tests: Annotated[list[str], msgspec.Meta(min_length=1)]
    """The node ids of the tests that catch it, each by itself."""
    wrong: str
    """What goes wrong with it, in a line."""
    hangs: bool = False
    """Whether its tests stand still with it, instead of failing."""


def read_catalogue() -> dict[str, Bug]:
    """Bugs by name."""
    return msgspec.toml.decode((HERE / "catalogue.toml").read_bytes(), type=dict[str, Bug])


def patch_of(name: str) -> Path:
    return PATCHES / f"{name}.patch"


class Hunk(NamedTuple):
    """One place that a patch changes."""

    path: str
    before: list[str]
    """The lines that have to be there."""


def hunks_of(patch: str) -> Iterator[Hunk]:
    """The places that a unified diff changes."""
    path, hunk = "", None
    for line in patch.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ b/")
        elif line.startswith(("diff ", "--- ", "@@ ")):
            if hunk is not None:
                yield hunk
            hunk = Hunk(path, []) if line.startswith("@@ ") else None
        elif hunk is not None and line[:1] in {" ", "-"}:
            hunk.before.append(line[1:])
    if hunk is not None:
        yield hunk
