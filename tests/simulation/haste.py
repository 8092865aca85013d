"""How long standbys wait here: a simulated story lasts seconds, and its changelogs are compacted after two."""

from __future__ import annotations

from typing import Final

HASTE: Final = {
    "pipeline.runtime.standbys.LOOK_EVERY_S": 0.1,
    "pipeline.runtime.standbys.SETTLED_S": 0.1,
    "pipeline.runtime.standbys.KEPT_S": 2.0,
    "pipeline.runtime.standbys.AGAIN_S": 0.5,
    "pipeline.runtime.tail.CUT_LIFE_S": 1.0,
}
"""By name, in seconds."""
