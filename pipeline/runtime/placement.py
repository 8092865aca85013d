"""Which workers keep a standby of which partition: a rule that all of them compute alike, from what the group says.

By rendezvous hashing: for each partition the workers have an order of their own, in which its owner is left out, and
the first so many are its standbys. A worker that comes or goes changes the places that it takes or leaves, and no
other. Nobody decides, and nothing is written down: while two workers see different groups there is one standby too
many or too few, for as long as that lasts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from pipeline.client_id import parse_client_id
from pipeline.log.api import Member


class Group(NamedTuple):
    """A consumer group's members that are workers of ours."""

    owners: Mapping[int, str]
    """By partition, the worker that the group names."""
    workers: frozenset[str]
    """Also those that own nothing."""


def group_of_members(members: Sequence[Member], topic: str) -> Group:
    """What the members of a group own of a topic."""
    owners: dict[int, str] = {}
    workers = set()
    for member in members:
        worker = parse_client_id(member.client_id)
        if worker is not None:
            workers.add(worker.worker_id)
            owners |= {each.partition: worker.worker_id for each in member.partitions if each.topic == topic}
    return Group(owners, frozenset(workers))


def standbys_of(partition: int, owner: str | None, workers: Collection[str], replicas: int) -> list[str]:
    """The workers that keep a standby of the partition, the first choice first."""
    others = [worker for worker in workers if worker != owner]
    return sorted(others, key=lambda worker: (_weight(partition, worker), worker), reverse=True)[:replicas]


def _weight(partition: int, worker: str) -> bytes:
    return blake2b(f"{partition}/{worker}".encode(), digest_size=8).digest()
