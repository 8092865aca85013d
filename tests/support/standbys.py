"""Standbys as tests see them: over HTTP, as `statelog status` does."""

from __future__ import annotations

from tests.support.cluster import Cluster
from tests.support.waiting import eventually


def caught_up(cluster: Cluster, each: int = 1, stage: str = "aggregate") -> bool:
    """Whether every partition has so many standbys, which lack nothing that is committed, and know where the source
    ends. Input must have stopped.
    """
    committed = cluster.committed(stage)
    with cluster.client() as client:
        rows = client.status(stage)
    standbys = [[one for one in row.standbys if not one.restoring and one.end is not None] for row in rows]
    return all(len(of_one) >= each for of_one in standbys) and all(
        one.position >= committed[one.partition] for of_one in standbys for one in of_one
    )


def wait_until_caught_up(cluster: Cluster, each: int = 1, stage: str = "aggregate") -> None:
    eventually(lambda: caught_up(cluster, each, stage), f"{each} standby of each partition is as far as its owner")
