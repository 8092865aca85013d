"""One worker process: the loop, what runs beside it, and how it ends."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version

import structlog

from operators.topology import AggregateStage, Stage, Topology
from pipeline.log.api import Admin, Log
from pipeline.log.kafka import connect
from pipeline.query.application import application, stateless_application
from pipeline.query.directory import Directory
from pipeline.query.donation import donor
from pipeline.query.listener import LOOPBACK, Listener
from pipeline.query.outgoing import Outgoing
from pipeline.query.protection import Protection
from pipeline.query.receiving import PeerCheckpoints
from pipeline.query.server import HttpServer
from pipeline.query.upstream import Upstream
from pipeline.runtime.aggregate_tasks import AggregateTasks
from pipeline.runtime.cluster import look_up, require_same_count
from pipeline.runtime.collector import quiet_collector
from pipeline.runtime.crash import from_environment
from pipeline.runtime.fetch import Donors
from pipeline.runtime.gauges import WorkerGauges
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.observe import CONFIRM_EVERY, AggregateView, TransformView
from pipeline.runtime.progress_log import CountedRestores
from pipeline.runtime.restorer import RestoreListener
from pipeline.runtime.start import MakeTasks, load_topology, make_tasks, stage_of, watch_ownerless
from pipeline.runtime.tasks import StatelessTasks, Surroundings
from pipeline.runtime.tracing import commit_traces
from pipeline.runtime.worker import Worker
from pipeline.settings import Settings
from pipeline.topics import TopicPlan
from pipeline.verify.worker_side import noting, verifier

TURN_S = 0.001
"""After which the loop lets a thread go on that has something to answer: Python's own is five times as long, and each
question waits for it (docs/decisions/0022-queries-are-a-thread.md). It costs nothing while nobody asks."""

logger = structlog.get_logger(__name__)


def run_worker(
    settings: Settings,
    stage_name: str,
    restore_listener: RestoreListener,
    *,
    log: Log | None = None,
    make: MakeTasks = make_tasks,
) -> None:
    """Run a worker of a stage until SIGTERM or SIGINT: drain, commit, close.

    `log`: the cluster to work on; none: that of the settings.

    Raises Misconfigured before the first poll, and whatever ends a worker: Fenced, RefusalLimit, StateLost…
    """
    topology = load_topology(settings)
    stage = stage_of(topology, stage_name)
    protection, outgoing = Protection.of(settings), Outgoing.of(settings)
    log = log or connect(settings)
    reach = from_environment()
    with ExitStack() as cleanup:
        admin = log.admin()
        cleanup.callback(admin.close)
        count = TopicPlan(topology, settings.prefix).require(admin)
        require_same_count(admin, settings.prefix, topology, count)
        listener = _listener(settings, stage)
        identity = WorkerIdentity.of(settings, stage, listener.address)
        topics = look_up(admin, settings.prefix, stage)
        metrics = WorkerMetrics(stage.name)
        restores = CountedRestores(restore_listener, metrics)
        around = Surroundings(settings, log, admin, topics, identity.group, restores, reach, metrics)
        directory = Directory.of_group(admin, identity.group, identity.source)
        tasks = make(around, topology, identity, donors=_donors(stage, directory, identity, outgoing))
        cleanup.callback(tasks.stop)
        asked = isinstance(tasks, AggregateTasks)
        confirm_every_s = settings.session_timeout_ms / 1000 * CONFIRM_EVERY if asked else None
        traces = commit_traces(settings, stage.name, identity.worker_id)
        cleanup.callback(traces.close)
        worker = Worker(settings, identity, log, tasks, metrics=metrics, reach=reach, traces=traces,
                        confirm_every_s=confirm_every_s, ownerless=watch_ownerless(around, identity))  # fmt: skip
        view, server = _shown(settings, topology, tasks, worker, identity, log, admin, directory, metrics, listener,
                              protection, outgoing)  # fmt: skip
        metrics.registry.register(WorkerGauges(stage.name, view, topics.partitions, version("statelog")))
        cleanup.enter_context(_beside(view, server))
        cleanup.enter_context(_stopped_by_signals(worker.stop))
        logger.info("worker starts", stage=stage.name, id=identity.worker_id, group=identity.group,
                    protocol=settings.group_protocol)  # fmt: skip
        quiet_collector()
        sys.setswitchinterval(TURN_S)
        worker.run()
        logger.info("worker stopped", id=identity.worker_id)


def _listener(settings: Settings, stage: Stage) -> Listener:
    if settings.http is None and settings.id is not None:
        return Listener.steady(f"{settings.prefix}{stage.name}-{settings.id}", settings.advertise)
    return Listener(settings.http or LOOPBACK, settings.advertise)


def _donors(stage: Stage, directory: Directory, identity: WorkerIdentity, outgoing: Outgoing) -> Donors | None:
    if isinstance(stage, AggregateStage):
        return PeerCheckpoints(directory, identity.worker_id, [table.name for table in stage.tables], outgoing)
    return None


def _shown(
    settings: Settings,
    topology: Topology,
    tasks: StatelessTasks | AggregateTasks,
    worker: Worker,
    identity: WorkerIdentity,
    log: Log,
    admin: Admin,
    directory: Directory,
    metrics: WorkerMetrics,
    listener: Listener,
    protection: Protection,
    outgoing: Outgoing,
) -> tuple[TransformView, HttpServer]:
    """What a worker shows of itself, and what it serves: tables too, where it has any."""
    if not isinstance(tasks, AggregateTasks):
        view = TransformView(worker, identity, tasks, admin, settings)
        served = stateless_application(view, metrics.registry, protection.credentials, metrics.told)
        return view, HttpServer(served, listener, protection.tls)
    owner = AggregateView(worker, identity, topology, tasks, admin, settings)
    verify = noting(metrics.verified, verifier(settings, owner))
    upstream = Upstream(topology, owner.stage, directory.partitions, settings.prefix, admin, log.reader)
    served = application(owner, directory, upstream, verify, donor(settings, owner), metrics.registry,
                         credentials=protection.credentials, outgoing=outgoing, told=metrics.told)  # fmt: skip
    return owner, HttpServer(served, listener, protection.tls)


@contextmanager
def _beside(view: TransformView, server: HttpServer) -> Iterator[None]:
    """Questions answered, and the worker's view of itself kept fresh, while the loop runs."""
    view.start()
    server.start()
    try:
        yield
    finally:
        server.stop()
        view.stop()


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT drain the worker; the handlers that were there come back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers; whoever runs a worker elsewhere stops it
        return
    before = {each: signal.signal(each, lambda *_: stop()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
