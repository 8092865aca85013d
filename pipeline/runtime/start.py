"""From settings to the pieces of a worker."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from operators.topology import AggregateStage, Stage, Topology
from pipeline.errors import Misconfigured
from pipeline.log.api import TopicPartition
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.identity import WorkerIdentity, application_of
from pipeline.runtime.ownerless import OwnerlessWatch
from pipeline.runtime.tasks import AggregateTasks, Surroundings, TransformTasks
from pipeline.settings import Settings
from pipeline.state.api import StoreIdentity, Stores
from pipeline.state.directory import StateDirectory


def load_topology(settings: Settings) -> Topology:
    """The topology that the settings name; a function is called with those of its parameters that are settings.

    Raises Misconfigured when there is no such thing.
    """
    module_name, _, name = settings.topology.partition(":")
    hint = "--topology is MODULE:NAME, of a Topology or of a function that makes one"
    try:
        found: Any = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise Misconfigured(f"no topology at {settings.topology!r}: {error}", hint=hint) from error
    if callable(found):
        known = {
            name: getattr(settings, name) for name in inspect.signature(found).parameters if hasattr(settings, name)
        }
        found = found(**known)
    if not isinstance(found, Topology):
        raise Misconfigured(f"{settings.topology!r} is a {type(found).__name__}, not a Topology", hint=hint)
    return found


def stage_of(topology: Topology, name: str) -> Stage:
    """Raises Misconfigured for a stage that the topology has not."""
    try:
        return topology.stage(name)
    except KeyError:
        names = ", ".join(stage.name for stage in topology.stages)
        raise Misconfigured(f"topology {topology.name!r} has no stage {name!r}", hint=f"its stages: {names}") from None


def make_tasks(
    around: Surroundings, topology: Topology, identity: WorkerIdentity, stores: Stores | None = None
) -> TransformTasks | AggregateTasks:
    """The tasks of a stage of either kind; a stateful one's stores are in the worker's directory, if not elsewhere."""
    stage, settings = identity.stage, around.settings
    if not isinstance(stage, AggregateStage):
        return TransformTasks(around, stage)
    application = application_of(settings.prefix, topology, stage)
    store = StoreIdentity(
        application=application,
        topology_version=topology.version,
        partition=-1,
        changelog_topic_ids=around.topics.changelog_ids,
        source_topic_id=around.topics.source_id,
    )
    if stores is None:
        stores = StateDirectory.claim(settings.data_dir, application, settings.id)
        stores.ingested = lambda: around.reach(CrashPoint.INGESTED)
    return AggregateTasks(around, stage, stores, store)


def watch_ownerless(around: Surroundings, identity: WorkerIdentity) -> OwnerlessWatch | None:
    """None where the coordinator itself lets no partition be nobody's (KIP-848)."""
    if around.settings.group_protocol == "consumer":
        return None
    everything = [TopicPartition(identity.source, partition) for partition in range(around.topics.partitions)]
    settle_s = around.settings.session_timeout_ms / 1000
    return OwnerlessWatch(
        around.admin, identity.group, identity.client_id, everything, settle_s=settle_s, clock=around.clock
    )
