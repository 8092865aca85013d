"""Whose store a directory holds, checked before anything in it is opened."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pipeline.errors import StateForeign, StateTooNew, StateUnusable
from pipeline.state.api import FORMAT_VERSION, StoreIdentity
from pipeline.state.envelope import seal, unseal

_FILE = "identity"


def write_identity(directory: Path, identity: StoreIdentity) -> None:
    """Durably, and whole or not at all: five bytes of envelope, then JSON that a person can read."""
    path = directory / _FILE
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(seal(msgspec.json.encode(identity)))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(directory)


def read_identity(directory: Path) -> StoreIdentity | None:
    """None when the directory has none; StateUnusable when what it has cannot be read."""
    try:
        data = (directory / _FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(unseal(data), type=StoreIdentity)
    except msgspec.DecodeError as error:
        raise StateUnusable("the store's identity cannot be read", directory=directory) from error


def check_identity(directory: Path, found: StoreIdentity, expected: StoreIdentity) -> None:
    """Let the same identity pass.

    StateTooNew for one of newer software, which stays as it is. StateForeign for another's store, or our own of topics
    that were made anew; StateUnusable for our own store of another topology or an older format.
    """
    if found.format_version > FORMAT_VERSION:
        raise StateTooNew(
            "the store was written by a newer version of this program",
            hint="run that version again, or give this worker another --data-dir",
            directory=directory,
            format_version=found.format_version,
        )
    if others := _differing_owners(found, expected):
        raise StateForeign(
            "the directory holds the store of another pipeline, partition or topic",
            hint="nothing was written to it; see the quarantine beside it",
            directory=directory,
            **others,
        )
    if found != expected:
        raise StateUnusable(
            "the store belongs to another version of the topology",
            directory=directory,
            topology_version=found.topology_version,
            format_version=found.format_version,
        )


def _differing_owners(found: StoreIdentity, expected: StoreIdentity) -> dict[str, str]:
    pairs = {
        "application": (found.application, expected.application),
        "partition": (found.partition, expected.partition),
        "source_topic_id": (found.source_topic_id, expected.source_topic_id),
    }
    for table in found.changelog_topic_ids.keys() & expected.changelog_topic_ids.keys():
        pairs[f"changelog_of_{table}"] = (found.changelog_topic_ids[table], expected.changelog_topic_ids[table])
    return {name: f"{theirs!r}_not_{ours!r}" for name, (theirs, ours) in pairs.items() if theirs != ours}


def sync_directory(directory: Path) -> None:
    """Make names in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
