"""Damaged files of RocksDB: an exact state, or an error and a rebuild; no wrong value, no hang, no dead process."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import pytest

from tests.faults.damage_child import DAMAGES, FILES, MOMENTS, make_master
from tests.support.scale import Scale
from tests.support.waiting import PATIENCE_S


class Children:
    """One process at a time for many trials; the next one follows where a trial hung it or ended it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.damage_child", self._directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(self._process, self._lines), daemon=True).start()

    @staticmethod
    def _listen(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    def attempt(self, trial: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(trial) + "\n")
        self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=PATIENCE_S)
        except queue.Empty:
            line, verdict = "", "hung"
        else:
            verdict = "died"
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.close()
        why = f"exit code {self._process.returncode}"
        self._start()
        return {"changed": True, "verdict": verdict, "why": why}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.mark.timeout(3_600)
def test_damage_gives_the_same_state_or_an_older_prefix_or_a_rebuild(
    tmp_path: Path, scale: Scale, figure: Callable[[str], None]
) -> None:
    kinds = list(product(MOMENTS, DAMAGES, FILES))
    make_master(tmp_path)
    children = Children(tmp_path)
    verdicts: Counter[str] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    unharmed, failures = 0, []
    try:
        for number, (moment, how, files) in enumerate(islice(cycle(kinds), scale(96, full=800))):
            trial = {"number": number, "moment": moment, "damage": how, "files": files}
            answer = children.attempt(trial)
            unharmed += not answer["changed"]
            verdicts[answer["verdict"]] += 1
            seen[files, answer["verdict"]] += 1
            if answer["verdict"] not in {"same", "older prefix", "unusable"}:
                failures.append({**trial, **answer})
    finally:
        children.close()
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    figure(f"{sum(verdicts.values())} damaged stores, {unharmed} of them not changed by it: {told}")
    assert not failures, "\n".join(f"{each}\n{each['why']}" for each in failures[:5])
    # A page that is zero already is no fault.
    assert unharmed <= sum(verdicts.values()) // 20
    assert seen["*.sst", "unusable"]
    assert seen["MANIFEST-*", "unusable"]
    assert seen["CURRENT", "unusable"]
    assert seen["*.log", "older prefix"]
