"""What may happen in a simulated run, each with how often it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.runtime.crash import CrashPoint
from pipeline.testing.process import Process
from tests.simulation import checks
from tests.simulation.counters import REACHED

if TYPE_CHECKING:
    from tests.simulation.schedule import Simulation

DAY_MS = 86_400_000
NIGHT_MS = 8 * DAY_MS
"""Longer than a store may be away, and than deletions stay in a changelog."""
AT_WORK: Final = (
    CrashPoint.FOLDED, CrashPoint.CHANGELOG_SENT, CrashPoint.OFFSETS_SENT, CrashPoint.COMMITTED,
    CrashPoint.STORE_APPLIED, CrashPoint.APPLIED,
)  # fmt: skip
AT_A_RESTORE: Final = tuple(point for point in REACHED if point > CrashPoint.APPLIED)


class Event(NamedTuple):
    weight: float
    happen: Callable[[Simulation], None]


def _any(run: Simulation, processes: list[Process]) -> Process | None:
    return run.chance.choice(processes) if processes else None


def work(run: Simulation) -> None:
    for _ in range(run.chance.randint(1, 15)):
        process = _any(run, run.running())
        if process is not None:
            run.act(process, run.chance.choice((process.step, process.round, process.restore)))


def message(run: Simulation) -> None:
    run.input.feed()


def forget(run: Simulation) -> None:
    run.input.forget()


def begin_input(run: Simulation) -> None:
    run.input.begin()


def end_input(run: Simulation) -> None:
    commit = run.chance.random() < 0.5
    if run.input.end(commit=commit) and not commit:
        run.count("input aborted")


def tick(run: Simulation) -> None:
    run.world.cluster.advance(run.chance.randint(5, 400))


def transaction_times_out(run: Simulation) -> None:
    run.world.cluster.advance(2_600)


def standstill(run: Simulation) -> None:
    """No worker gets a turn for longer than any may go without a poll; their heartbeats go on."""
    if any(each.held for each in run.running()):
        run.count("standstill")
    run.world.cluster.advance(5_500)


def kill(run: Simulation) -> None:
    process = _any(run, run.running())
    if process is not None:
        run.say(f"{process!r} is killed")
        run.kill(process)


def crash_at_work(run: Simulation) -> None:
    process = _any(run, run.running())
    if process is not None:
        process.dies_at = run.chance.choice(AT_WORK)


def crash_at_a_restore(run: Simulation) -> None:
    process = _any(run, run.running("aggregate"))
    if process is not None and run.chance.random() < 0.6:
        process = _restarted(run, process, disk_lost=run.chance.random() < 0.7)
    if process is not None:
        ingests = run.on_disk and run.chance.random() < 0.4
        process.dies_at = CrashPoint.INGESTED if ingests else run.chance.choice(AT_A_RESTORE)


def restart(run: Simulation) -> None:
    absent = run.absent()
    if absent:
        run.start(*run.chance.choice(absent))


def freeze(run: Simulation) -> None:
    process = _any(run, run.running())
    if process is not None:
        run.say(f"{process!r} stands still")
        process.freeze()


def freeze_for_long(run: Simulation) -> None:
    """Its session ends, and others go on with its partitions."""
    process = _any(run, run.running())
    if process is not None:
        run.say(f"{process!r} stands still for long")
        process.freeze()
        for _ in range(4):
            work(run)
            run.world.cluster.advance(900)


def thaw(run: Simulation) -> None:
    process = _any(run, [each for each in run.world.processes if each.alive and each.frozen])
    if process is not None:
        run.thaw(process)


def join(run: Simulation) -> None:
    """One more aggregate worker."""
    run.wanted.add(("aggregate", "a2"))
    restart(run)


def leave(run: Simulation) -> None:
    """A worker stops as by SIGTERM; somebody may start it again."""
    process = _any(run, run.running())
    if process is not None:
        run.say(f"{process!r} leaves")
        process.leave()
        run.count("left in good order")


def hold_markers(run: Simulation) -> None:
    run.hold_markers()


def release_markers(run: Simulation) -> None:
    run.release_markers()


def lose_answer(run: Simulation) -> None:
    process = _any(run, run.running())
    if process is not None:
        happened = run.chance.random() < 0.5
        transactional_id = process.identity.transactional_id
        run.world.cluster.lose_commit_answer(transactional_id, happened=happened)
        aborts = process.metrics.aborts
        for _ in range(30):
            if process.runs and process.metrics.aborts == aborts:
                run.act(process, process.step)
        if process.metrics.aborts > aborts:
            run.count("unknown commit that happened" if happened else "rollback after unknown commit")


def compact_during_a_restore(run: Simulation) -> None:
    """A worker folds the changelogs from their start while the cleaner passes over what it has still to read."""
    process = _any(run, run.running("aggregate"))
    if process is not None:
        run.world.cluster.advance(2_100)
        process = _restarted(run, process, disk_lost=True)
    for _ in range(run.chance.randint(2, 6)):
        if process is not None:
            run.act(process, process.step)
    compact(run)


def compact(run: Simulation) -> None:
    run.history.look()
    restoring = any(set(each.held) - set(each.active) for each in run.running())
    topics = run.world.topology.changelogs
    before = sum(len(run.world.cluster.records(topic)) for topic in topics)
    for topic in topics:
        run.world.cluster.compact(topic)
    if sum(len(run.world.cluster.records(topic)) for topic in topics) < before:
        run.count("compaction during restore" if restoring else "compaction")


def lose_disk(run: Simulation) -> None:
    """With the worker that had it; it comes back on an empty one."""
    process = _any(run, run.running("aggregate"))
    if process is not None:
        _restarted(run, process, disk_lost=True)


def _restarted(run: Simulation, process: Process, *, disk_lost: bool) -> Process | None:
    """The next life of a process that is killed for it; None when it cannot start."""
    run.say(f"{process!r} is killed{' and loses its disk' if disk_lost else ''}")
    run.kill(process)
    for (stage, machine), disk in list(run.world.disks.items()):
        if disk_lost and disk is process.disk:
            run.world.lose_disk(stage, machine)
            run.count("lost disk")
    return run.start(process.stage.name, process.worker_id)


def steal_the_id(run: Simulation) -> None:
    """The same id is started once more, on another machine."""
    process = _any(run, [each for each in run.world.processes if each.alive and not each.dynamic])
    if process is not None:
        run.count("id stolen")
        run.start(process.stage.name, process.worker_id, machine=f"machine-{next(run.machines)}")


def night(run: Simulation) -> None:
    """One worker dies, others delete what its disk still has; then all are down until the log forgets the deletions."""
    first = _any(run, run.running("aggregate"))
    if first is not None:
        run.kill(first)
    run.world.cluster.advance(3_100)  # its seat is free
    for _ in range(3):
        run.input.forget()
    for _ in range(8):
        work(run)
    for process in [each for each in run.world.processes if each.alive]:
        run.kill(process)
    run.release_markers()
    for _ in range(2):
        run.world.cluster.advance(NIGHT_MS)
        compact(run)
    run.count("long night")
    for stage, worker in run.absent():
        run.start(stage, worker)


def examine(run: Simulation) -> None:
    """P2 holds at any moment, not only at the end."""
    run.counts["stores checked"] += checks.assert_stores_are_prefixes(
        run.world, run.history, run.world.topology.aggregates[0]
    )


EVENTS: Final = {
    event.__name__.replace("_", " "): Event(weight, event)
    for weight, event in (
        (50, work), (16, message), (8, tick), (2, transaction_times_out), (0.7, standstill), (2, begin_input),
        (3, end_input), (1.5, forget), (2, kill), (4, crash_at_work), (4, crash_at_a_restore), (9, restart),
        (1, freeze), (1.5, freeze_for_long), (3, thaw), (1.5, join), (1.5, leave), (1.5, hold_markers),
        (3, release_markers), (2, lose_answer), (2, compact), (1.5, compact_during_a_restore),
        (1.5, lose_disk), (0.5, steal_the_id), (0.3, night),
        (1.5, examine),
    )
}  # fmt: skip
