"""The catalogue fits the source, and the runner tells a bug that is caught from everything that only looks like it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import pytest

from tests.mutants.catalogue import PATCHES, SHIPPED, hunks_of, patch_of, read_catalogue
from tests.mutants.workshop import ROOT, Verdict, Workshop, plant, workshop
from tests.support.waiting import PATIENCE_S

CATALOGUE = read_catalogue()
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()

PATH = "pipeline/state/envelope.py"
ITS_TEST = "tests/unit/test_envelope.py::test_the_bytes_are_the_contracts"
PAYLOAD = "    return _HEADER.pack(VERSION, crc32(payload)) + payload\n"
"""What `seal` does, the line that the bugs below change."""


def test_the_catalogue_and_the_folder_have_the_same_bugs() -> None:
    assert sorted(CATALOGUE) == sorted(path.stem for path in PATCHES.iterdir())


def test_every_promise_has_a_bug() -> None:
    broken = {promise for bug in CATALOGUE.values() for promise in bug.promise.split()}
    assert broken == {"security", *(f"P{n}" for n in range(1, 8))}


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_patch_fits_the_source_in_one_place_only(name: str) -> None:
    """Its lines are where it looks for them, and nowhere else: git would take the nearest."""
    assert not plant(patch_of(name), ROOT, "--check")
    hunks = list(hunks_of(patch_of(name).read_text()))
    assert hunks
    for path, before in hunks:
        assert path.partition("/")[0] in SHIPPED, "a bug is planted in what is shipped"
        lines = (ROOT / path).read_text().splitlines()
        places = [at for at in range(len(lines)) if lines[at : at + len(before)] == before]
        assert len(places) == 1, f"{path}: {before}"


def test_the_documentation_has_every_bug_and_no_other() -> None:
    section = RELIABILITY.partition("## Testing the tests")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| (\S+) \| (P[^|]+|security) \| [^|]+ \| `([^`|]+)` \|", section, re.MULTILINE)
    assert documented == [(name, bug.promise, test) for name, bug in CATALOGUE.items() for test in bug.tests]


@pytest.fixture(scope="module")
def bench() -> Iterator[Workshop]:
    with workshop() as one:
        yield one


def write_patch(directory: Path, before: str, after: str) -> None:
    """A patch `bug.patch` that changes the file of `PATH`, or one like it."""
    source = (ROOT / PATH).read_text()
    old, new = (source.replace(PAYLOAD, line).splitlines(keepends=True) for line in (before, after))
    (directory / "bug.patch").write_text("".join(unified_diff(old, new, f"a/{PATH}", f"b/{PATH}", n=1)))


@pytest.mark.parametrize(
    ("after", "verdict", "why"),
    [
        ("    return payload\n", Verdict.CAUGHT, "AssertionError"),
        (PAYLOAD + "    # as it was\n", Verdict.SURVIVED, "^$"),
        ("    return nothing_of_the_kind\n", Verdict.BROKEN, "NameError"),
        ("    return )\n", Verdict.BROKEN, "SyntaxError"),
    ],
    ids=["a bug", "no bug", "code that does not run", "code that is none"],
)
def test_only_a_test_that_fails_by_itself_has_caught_a_bug(
    bench: Workshop, tmp_path: Path, after: str, verdict: Verdict, why: str
) -> None:
    write_patch(tmp_path, PAYLOAD, after)
    finding = bench.try_bug("bug", ITS_TEST, patches=tmp_path, limit_s=PATIENCE_S)
    assert finding.verdict is verdict, finding.why
    assert re.search(why, finding.why)


@pytest.mark.parametrize(("foreseen", "verdict"), [(False, Verdict.HANGS), (True, Verdict.CAUGHT)])
def test_a_test_that_hangs_is_ended_and_has_caught_only_what_is_to_hang(
    bench: Workshop, tmp_path: Path, foreseen: bool, verdict: Verdict
) -> None:
    write_patch(tmp_path, PAYLOAD, "    while True: pass\n")
    finding = bench.try_bug("bug", ITS_TEST, hangs=foreseen, patches=tmp_path, limit_s=5)
    assert finding.verdict is verdict
    assert finding.why == "no end after 5 s"


def test_a_patch_that_no_longer_applies_is_told(bench: Workshop, tmp_path: Path) -> None:
    write_patch(tmp_path, "    return of_another_time\n", "    return payload\n")
    finding = bench.try_bug("bug", ITS_TEST, patches=tmp_path)
    assert finding.verdict is Verdict.NOT_APPLIED
    assert "patch does not apply" in finding.why


def test_a_test_that_is_not_there_or_fails_anyway_catches_nothing(bench: Workshop, tmp_path: Path) -> None:
    write_patch(tmp_path, PAYLOAD, "    return payload\n")
    gone = bench.try_bug("bug", "tests/unit/test_envelope.py::test_that_is_not_there", patches=tmp_path)
    assert gone.verdict is Verdict.NOT_GREEN


def test_the_command_tells_bug_test_and_verdict() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants", "lock-not-taken"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"lock-not-taken → tests/\S+  [\d.]+ s  caught", done.stdout)
    assert "1 of 1 bugs caught" in done.stdout
