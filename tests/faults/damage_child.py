"""A process that may hang or crash: it damages copies of a store, one trial a line, and says what became of each.

Trials come on stdin and verdicts go to stdout, JSON lines both. A trial is named by its number, which is the seed of
every choice that it makes.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import StateUnusable
from pipeline.state.api import Position, Restoring
from pipeline.state.rocks import RocksStore
from tests.faults.store_child import IDENTITY, TABLES, commit, expected

LAST = 100
"""The commit that the store was at."""
FURTHER = 3
"""Commits that a store which seems sound has to take: what was damaged must not come up later either."""
PAGE = 4_096
FILES = ("*.sst", "*.log", "MANIFEST-*", "CURRENT")
DAMAGES = ("flip", "cut", "delete", "zero")
MOMENTS = ("closed", "open")


class WrongValue(AssertionError):
    """The one thing that no damage may ever cause."""


def content(store: RocksStore) -> dict[str, dict[bytes, bytes]]:
    """By scan and by look-up, which takes another way through the files."""
    with store.view() as view:
        rows = {table: dict(view.scan(table)) for table in TABLES}
        for table in TABLES:
            found = store.get_many(table, list(rows[table]))
            if found != list(rows[table].values()):
                raise WrongValue(f"look-ups in {table} differ from its scan")
            if any(view.get(table, key) != value for key, value in rows[table].items()):
                raise WrongValue(f"a view of {table} differs from its scan")
        return rows


def check(store: RocksStore) -> int:
    """Everything in it has to be as of the commit that it says it is at; returns which."""
    found, number = content(store), store.position.source_next
    if found != expected(number):
        raise WrongValue(f"the content is not that of commit {number}")
    if store.position != (commit(number)[1] if number else Position()):
        raise WrongValue(f"the position is not that of commit {number}: {store.position}")
    return number


def damage(path: Path, how: str, chance: random.Random) -> bool:
    """Returns whether a byte is another now."""
    before = path.read_bytes()
    if how == "delete":
        path.unlink()
        return True
    # In place: a process that has the file open has to meet it.
    where = chance.randrange(len(before))
    with path.open("r+b") as file:
        if how == "cut":
            file.truncate(where)
        elif how == "flip":
            file.seek(where)
            file.write(bytes([before[where] ^ 1 << chance.randrange(8)]))
        else:
            page = where - where % PAGE
            file.seek(page)
            file.write(bytes(min(PAGE, len(before) - page)))
    return path.read_bytes() != before


def try_it(victim: Path, trial: dict[str, Any]) -> dict[str, Any]:
    chance = random.Random(trial["number"])
    changed: list[bool] = []

    def hurt() -> None:
        there = [each for each in (victim / "rocksdb").glob(trial["files"]) if each.stat().st_size]
        changed.append(damage(chance.choice(sorted(there)), trial["damage"], chance))

    why = ""
    try:
        verdict = use_it(victim, trial["moment"], hurt)
    except StateUnusable as error:
        verdict, why = "unusable", str(error)[:200]
    if why:  # only now have the frames of the error let go of the database
        rebuild(victim)
    return {"changed": changed[0], "verdict": verdict, "why": why}


def use_it(victim: Path, moment: str, hurt: Callable[[], None]) -> str:
    last = LAST
    if moment == "closed":
        hurt()
    store = RocksStore.open(victim, IDENTITY, TABLES)
    try:
        if moment == "open":
            last = apply(store, LAST)  # the log of a store that was just opened is empty
            hurt()
        reached = check(store)
        after = apply(store, reached)
        check(store)
    finally:
        store.close()
    store = RocksStore.open(victim, IDENTITY, TABLES)
    try:
        # A MANIFEST that was cut while RocksDB wrote to it loses what follows too. What is left is a prefix, and says
        # so: the changelog closes the gap.
        kept = check(store) == after
    finally:
        store.close()
    return "same" if kept and reached == last else "older prefix"


def apply(store: RocksStore, reached: int) -> int:
    for number in range(reached + 1, reached + 1 + FURTHER):
        store.apply(*commit(number))
    return store.position.source_next


def rebuild(victim: Path) -> None:
    """As the runtime does: aside with it, and everything from the changelog."""
    victim.rename(victim.with_name("aside"))
    store = RocksStore.open(victim, IDENTITY, TABLES)
    store.begin_restore(Restoring(dict.fromkeys(TABLES, LAST)))
    store.restore_rows(expected(LAST), commit(LAST)[1], done=True)
    if check(store) != LAST:
        raise WrongValue("the rebuilt store is not what was restored")
    store.close()


def make_master(directory: Path) -> None:
    """What kill -9 leaves of a store at LAST: SST files of two flushes, and a log that is needed."""
    store = RocksStore.open(directory / "store", IDENTITY, TABLES)
    for number in range(1, 61):
        store.apply(*commit(number))
    store.close()
    store = RocksStore.open(directory / "store", IDENTITY, TABLES)
    for number in range(61, LAST + 1):
        store.apply(*commit(number))
        if number == 80:  # flushes: a log that goes on after files which only the MANIFEST knows
            store.checkpoint(directory / "checkpoint")
    shutil.copytree(directory / "store", directory / "master")
    store.close()


def main(directory: str) -> None:
    at = Path(directory)
    for line in sys.stdin:
        trial = json.loads(line)
        work = at / f"trial-{trial['number']}"
        shutil.copytree(at / "master", work / "store")
        try:
            verdict = try_it(work / "store", trial)
        except BaseException:
            verdict = {"changed": True, "verdict": "wrong", "why": traceback.format_exc()}
        shutil.rmtree(work, ignore_errors=True)
        print(json.dumps(verdict), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
