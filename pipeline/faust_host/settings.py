"""What this host has to be told beside `pipeline.settings`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Stages = Literal["transform", "aggregate", "both"]


class FaustSettings(BaseSettings):
    """From `STATELOG_FAUST_*`."""

    model_config = SettingsConfigDict(env_prefix="STATELOG_FAUST_", extra="ignore", frozen=True)

    stages: Stages = Field("both", description="which stages a worker hosts; all workers of one app host the same")


def app_id(prefix: str, stages: Stages) -> str:
    """Faust's app id, which is its consumer group and begins the names of its changelogs."""
    return f"{prefix}faust-{stages}"


def changelog_of(prefix: str, stages: Stages, table: str) -> str:
    """The topic that Faust keeps a table's changes in."""
    return f"{app_id(prefix, stages)}-{table}-changelog"
