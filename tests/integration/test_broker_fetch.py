"""Fetching Kafka: whole, checked, once, and with a word of help where it cannot be done."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.broker.fetch import cache_directory, kafka_jars
from pipeline.broker.lock import Jar, Lock, read_lock
from pipeline.broker.ports import free_port
from pipeline.broker.progress import show_progress
from pipeline.errors import BrokerFailed, Retryable
from tests.support.waiting import PATIENCE_S

CONTENTS = {f"part-{number}": bytes([number]) * 300_000 for number in range(8)}

FETCH = """
import json, sys
from pathlib import Path
from pipeline.broker.fetch import kafka_jars
from pipeline.broker.lock import read_lock
from pipeline.broker.progress import show_progress
lock, cache, url = sys.argv[1:]
print(json.dumps([str(path) for path in kafka_jars(read_lock(Path(lock)), Path(cache), show_progress, {"local": url})]))
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def jar(name: str, content: bytes) -> Jar:
    return Jar("org.example", name, "1.0", len(content), hashlib.sha256(content).hexdigest())


LOCK = Lock(tuple(jar(name, content) for name, content in CONTENTS.items()))


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """A Maven repository on loopback that has the jars of LOCK."""
    root = tmp_path / "repository"
    for wanted in LOCK.jars:
        directory = root / "org" / "example" / wanted.artifact / wanted.version
        directory.mkdir(parents=True)
        (directory / wanted.filename).write_bytes(CONTENTS[wanted.artifact])
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*.jar"))


def test_jars_are_fetched_once_in_the_locks_order_with_progress(
    repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = kafka_jars(LOCK, tmp_path / "cache", show_progress, {"local": repository})
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert "2 of 2 MB" in capsys.readouterr().err
    assert kafka_jars(LOCK, tmp_path / "cache", show_progress, {"nowhere": "http://127.0.0.1:1"}) == paths
    assert capsys.readouterr().err == ""


def test_a_jar_with_another_checksum_is_refused_and_not_kept(repository: str, tmp_path: Path) -> None:
    forged = LOCK.jars[3]._replace(sha256="0" * 64)
    lock = Lock((*LOCK.jars[:3], forged))
    with pytest.raises(BrokerFailed, match=r"org\.example:part-3:1\.0"):
        kafka_jars(lock, tmp_path / "cache", show_progress, {"local": repository})
    assert forged.filename not in files(tmp_path / "cache")


def test_a_jar_that_was_damaged_in_the_cache_is_fetched_again(repository: str, tmp_path: Path) -> None:
    damaged = kafka_jars(LOCK, tmp_path / "cache", show_progress, {"local": repository})[5]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    kafka_jars(LOCK, tmp_path / "cache", show_progress, {"local": repository})
    assert damaged.read_bytes() == CONTENTS["part-5"]


def test_without_network_and_cache_it_says_how_to_use_ones_own_broker(tmp_path: Path) -> None:
    dead = {"dead": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(Retryable, match="the cache does not hold it") as failed:
        kafka_jars(read_lock(), tmp_path / "cache", show_progress, dead)
    assert "STATELOG_BOOTSTRAP_SERVERS" in failed.value.hint
    assert files(tmp_path / "cache") == []


def test_processes_that_fetch_at_once_all_get_whole_jars(repository: str, tmp_path: Path) -> None:
    lock_file = tmp_path / "example.lock"
    lock_file.write_text("".join(f"{one.coordinate} {one.size} {one.sha256}\n" for one in LOCK.jars))
    command = [sys.executable, "-c", FETCH, str(lock_file), str(tmp_path / "cache"), repository]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate(timeout=PATIENCE_S) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    for paths, _ in answers:
        assert [Path(path).read_bytes() for path in json.loads(paths)] == list(CONTENTS.values())
    assert sum("2 MB, once" in said for _, said in answers) == 1


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    monkeypatch.delenv("STATELOG_CACHE_DIR", raising=False)
    assert cache_directory() == tmp_path / "shared" / "statelog"
    monkeypatch.setenv("STATELOG_CACHE_DIR", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
