"""Kafka's jars: from the cache, or fetched into it once. Nothing runs whose SHA-256 is not the lock's."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pipeline.broker.lock import Jar, Lock
from pipeline.broker.progress import Advance, Progress
from pipeline.errors import BrokerFailed, Misconfigured, Retryable

OWN_BROKER = "to use a Kafka that you have: export STATELOG_BOOTSTRAP_SERVERS=HOST:PORT"
EXTRAS = "pip install 'statelog[broker]' brings what the embedded broker needs"

_CONNECTIONS = 4
_STAGING = ".fetching-"


def cache_directory() -> Path:
    """Where fetched things stay: STATELOG_CACHE_DIR, else `statelog` in the user's cache."""
    own = os.environ.get("STATELOG_CACHE_DIR")
    if own:
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if Path(shared).is_absolute():
        return Path(shared) / "statelog"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "statelog"


def configured_repositories() -> dict[str, str]:
    """Maven Central, and what the user's jgo settings add or put in its place (a mirror named `central`)."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    return {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}


def kafka_jars(
    lock: Lock, cache: Path, progress: Progress, repositories: Mapping[str, str] | None = None
) -> list[Path]:
    """The jars of the lock, in its order, each checked; what is missing or damaged is fetched first.

    Any number of processes may call this at once: one fetches, the others wait for it, and a jar appears under its name
    only whole and checked. Raises Retryable when the network does not give a jar, BrokerFailed when what it gives is
    not what the lock names, Misconfigured when jgo is not installed.
    """
    directory = cache / f"kafka-{lock.kafka_version}"
    if _wanting(lock, directory):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(
                "the cache directory cannot be made", hint="set STATELOG_CACHE_DIR", directory=directory, reason=error
            ) from error
        with _alone(directory / "fetch.lock"):
            wanting = _wanting(lock, directory)
            if wanting:
                _fetch(lock, wanting, directory, progress, repositories)
    return [directory / jar.filename for jar in lock.jars]


def _wanting(lock: Lock, directory: Path) -> list[Jar]:
    # All 45 MB are hashed at every start: a tenth of a second.
    return [jar for jar in lock.jars if not _is(directory / jar.filename, jar)]


def _is(path: Path, jar: Jar) -> bool:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(
    lock: Lock, jars: Sequence[Jar], directory: Path, progress: Progress, repositories: Mapping[str, str] | None
) -> None:
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise Misconfigured("jgo is not installed", hint=f"{EXTRAS}; {OWN_BROKER}") from error

    for left_by_a_killed_process in directory.glob(f"{_STAGING}*"):
        shutil.rmtree(left_by_a_killed_process, ignore_errors=True)
    what = f"Apache Kafka {lock.kafka_version}"
    with (
        tempfile.TemporaryDirectory(prefix=_STAGING, dir=directory) as staging,
        progress(what, sum(jar.size for jar in jars)) as advance,
        ThreadPoolExecutor(_CONNECTIONS) as pool,
    ):
        resolver = PythonResolver(progress_callback=_each_file(advance))
        remotes = dict(configured_repositories() if repositories is None else repositories)
        context = MavenContext(resolver=resolver, repo_cache=Path(staging), remote_repos=remotes)

        def fetch(jar: Jar) -> Path:
            return Path(context.create_dependency(jar.coordinate).artifact.resolve())

        arriving = [pool.submit(fetch, jar) for jar in jars]
        try:
            for jar, future in zip(jars, arriving, strict=True):
                _keep(future.result(), jar, directory)
        except (OSError, RuntimeError) as error:
            # What jgo lets through: the network's errors are OSErrors, a jar that no repository has a RuntimeError.
            raise Retryable(
                f"cannot fetch {what}, and the cache does not hold it",
                hint=f"the first start needs a network, later ones do not; {OWN_BROKER}",
                cache=directory,
                reason=error,
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _keep(fetched: Path, jar: Jar, directory: Path) -> None:
    if not _is(fetched, jar):
        raise BrokerFailed(
            "a fetched jar is not the one that the lock file names",
            hint="a mirror or proxy altered it, or cut it short: try again, or fetch through another network",
            jar=jar.coordinate,
            expected_sha256=jar.sha256,
        )
    fetched.replace(directory / jar.filename)


def _each_file(advance: Advance) -> Progress:
    @contextmanager
    def one_file(_name: str, _size: int) -> Iterator[Advance]:
        yield advance

    return one_file
