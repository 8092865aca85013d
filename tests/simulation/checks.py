"""The promises, after a simulated run: P1 to P4 of docs/guarantees.md."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from operators.topology import AggregateStage
from pipeline.log.memory import MemoryRecord
from pipeline.runtime.task import SOURCE_HEADER
from pipeline.state.api import Position, StoreView
from pipeline.state.envelope import unseal
from pipeline.testing.replay import digest_of, rows_of, rows_of_changelogs, rows_of_source
from pipeline.testing.world import World
from tests.oracle import Parameters, ReadingsRecord, Recount, TelemetryMessage, differences, readings_of, recount
from tests.simulation.history import History
from tests.simulation.input import Message

OUTPUTS = ("readings", "windows", "dead-letters")


def assert_stores_are_prefixes(world: World, history: History, stage: AggregateStage) -> int:
    """P2: each store, held by the living or left by the dead, equals its changelogs up to its position."""
    history.look()
    changelogs = {table.name: history.of(table.changelog) for table in stage.tables}
    checked = 0
    for where, partition, view in _stores(world, stage):
        until = view.position.changelog_next
        if any(history.read_to(f"{table}-changelog", partition) < end for table, end in until.items()):
            continue  # its commit is decided, and the marker is on its way
        _assert_cut(where, partition, view.position, changelogs)
        expected = digest_of(rows_of_changelogs(changelogs, partition, until))
        assert digest_of(rows_of(view, stage)) == expected, f"P2: {where}/{partition} is no prefix of its changelogs"
        checked += 1
    return checked


def _assert_cut(where: str, partition: int, position: Position, changelogs: Mapping[str, list[MemoryRecord]]) -> None:
    """P2 over all tables: they are as of one commit, the one that the source's position tells."""
    for table, records in changelogs.items():
        until = position.changelog_next.get(table, 0)
        made_by = None
        for each in reversed(records):
            if each.partition() == partition:
                named = dict(each.headers() or ()).get(SOURCE_HEADER)  # by the last one of a commit
                made_by = made_by if named is None else int(named)
                assert made_by is not None, f"P2: {table}/{partition} ends within a commit"
                inside = each.offset() < until
                assert inside == (made_by <= position.source_next), (
                    f"P2: {where}/{partition} is torn at {table}/{until}"
                )


def _stores(world: World, stage: AggregateStage) -> Iterator[tuple[str, int, StoreView]]:
    held = {id(each.disk): each for each in world.processes if each.alive}
    for (name, machine), disk in world.disks.items():
        owner = held.get(id(disk))
        if name != stage.name:
            continue
        for partition in disk.partitions():
            open_here = {} if owner is None else {each: task.store for each, task in owner.held.items()}
            if owner is not None:
                open_here |= {each: tail.task.store for each, tail in owner.standbys.items()}
            store = open_here.get(partition)
            if store is not None:
                if store.restoring is None:
                    with store.view() as view:
                        yield machine, partition, view
            else:
                with disk.look(partition, [table.name for table in stage.tables]) as left:
                    if left is not None:
                        yield machine, partition, left


def assert_replay_is_identity(world: World, stage: AggregateStage) -> None:
    """P3: the live state, the changelogs' fold and the source's fold are the same, byte for byte."""
    changelogs = {table.name: world.cluster.records(table.changelog) for table in stage.tables}
    for partition in range(world.partitions):
        owner = world.owner(stage, partition)
        assert owner is not None
        with owner.held[partition].store.view() as view:
            live = digest_of(rows_of(view, stage))
        assert live == digest_of(rows_of_changelogs(changelogs, partition)), f"P3: {partition}, by its changelogs"
        assert live == digest_of(rows_of_source(world, stage, partition)), f"P3: {partition}, by its source"


def assert_nothing_was_unseen(world: World, history: History) -> None:
    """P4: what a reader saw at any time is there at the end, and nothing came up in between."""
    history.look()
    for topic in OUTPUTS:
        seen = sorted((each.partition(), each.offset()) for each in history.of(topic))
        there = sorted((each.partition(), each.offset()) for each in world.cluster.records(topic))
        assert seen == there, f"P4: {topic}"


def assert_folded_once(world: World, stage: AggregateStage, good: set[Message]) -> Recount:
    """P1: states, windows and dead letters are those of each committed message, once, in order."""
    telemetry = [
        TelemetryMessage(each.partition(), each.offset(), each.key() or b"", each.value() or b"")
        for each in world.cluster.records("telemetry")
        if (each.key(), each.value()) in good
    ]
    made = {
        tuple(each.value["origin"][1:]): each.value
        for each in readings_of(telemetry, partitions=world.partitions)
        if each.value is not None
    }
    records = world.cluster.records("readings")
    sent = [json.loads(each.value() or b"") for each in records if each.value() is not None]
    _same_once("readings", [tuple(each["origin"][1:]) for each in sent], made)
    latest: dict[int, int] = {}
    for reading in sent:
        _topic_id, partition, offset = reading["origin"]
        assert offset > latest.get(partition, -1), "P1: readings out of order"
        latest[partition] = offset
        expected = {**made[partition, offset], "origin": reading["origin"]}
        assert not differences(expected, reading, converted=True)
    found = recount(_for_the_oracle(records), Parameters(partitions=world.partitions))
    _assert_dead_letters(world, found, made)
    _assert_tables(world, stage, found)
    return found


def _for_the_oracle(records: Iterable[MemoryRecord]) -> Iterator[ReadingsRecord]:
    for each in records:
        value = None if each.value() is None else json.loads(each.value() or b"")
        yield ReadingsRecord(each.partition(), each.offset(), each.key() or b"", value)


def _assert_dead_letters(world: World, found: Recount, made: Iterable[Hashable]) -> None:
    letters: dict[str, list[Any]] = {"transform": [], "aggregate": []}
    for letter in world.cluster.records("dead-letters"):
        headers = dict(letter.headers() or ())
        where = int(headers["statelog-origin-partition"]), int(headers["statelog-origin-offset"])
        stage = headers["statelog-stage"].decode()
        letters[stage].append(where if stage == "transform" else (*where, headers["statelog-reason"].decode()))
    messages = {(each.partition(), each.offset()) for each in world.cluster.records("telemetry")}
    _same_once("dead letters of transform", letters["transform"], messages - set(made))
    _same_once("dead letters of aggregate", letters["aggregate"], found.refusals)


def _assert_tables(world: World, stage: AggregateStage, found: Recount) -> None:
    shown: dict[str, dict[str, Any]] = {"device-state": {}, "device-windows": {}}
    rows: defaultdict[str, list[Any]] = defaultdict(list)
    still_open: dict[str, list[Any]] = {}
    for partition in range(world.partitions):
        owner = world.owner(stage, partition)
        assert owner is not None
        with owner.held[partition].store.view() as view:
            for name, of_table in shown.items():
                spec = stage.table(name)
                for key, sealed in view.scan(name):
                    value = spec.value.decode(unseal(sealed))
                    of_table[spec.key.show(key)] = row = spec.show(key, value)
                    if name == "device-windows":
                        rows[row["device_id"]].append(row)
                    else:
                        still_open[row["device_id"]] = sorted(spec.views["open-windows"](key, value), key=_window)
    assert not differences(found.devices, shown["device-state"], converted=True), "P1: device-state"
    assert not differences(found.rows, dict(rows), converted=True), "P1: device-windows"
    assert not differences(found.open_windows, still_open, converted=True), "P1: open windows"
    results: defaultdict[str, list[Any]] = defaultdict(list)
    for record in world.cluster.records("windows"):
        result = json.loads(record.value() or b"")
        results[result["device_id"]].append(result)
    assert not differences(found.results, dict(results), converted=True), "P1: windows"


def _window(row: dict[str, Any]) -> tuple[str, int]:
    return row["metric"], row["window_start"]


def _same_once(what: str, found: Iterable[Hashable], expected: Iterable[Hashable]) -> None:
    counts = Counter(found)
    wanted = set(expected)
    assert not [each for each, times in counts.items() if times > 1], f"P1: {what}: doubled"
    assert not wanted - counts.keys(), f"P1: {what}: lost"
    assert not counts.keys() - wanted, f"P1: {what}: from nowhere"
