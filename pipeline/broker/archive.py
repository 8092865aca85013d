"""Kafka's classes, loaded and linked beforehand: with Java's ahead-of-time cache a start costs half the processor time.

Worth making where many brokers are started, as tests do: to make it costs about four starts. Without it, or when Java
finds that it does not fit (other jars, another Java), a start only takes longer.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.broker.config import java_command
from pipeline.broker.directory import DataDirectory
from pipeline.broker.process import SupervisedProcess

# Compiled stubs would save little, and Java 25 warns at each start that it takes some of them for others.
_NO_STUBS = ("-XX:+UnlockDiagnosticVMOptions", "-XX:-AOTAdapterCaching", "-XX:-AOTStubCaching")

RunBroker = Callable[[Path, Sequence[str]], AbstractContextManager[object]]
"""Runs a broker with these further Java options on this directory, and stops it in good order."""


def archive_path(java: Path, jars: Sequence[Path]) -> Path:
    """Where the archive of this Java and these jars is, if somebody made it."""
    what = "\n".join(map(str, [java, *jars]))
    return jars[0].parent / f"classes-{zlib.crc32(what.encode()):08x}.aot"


def archive_options(java: Path, jars: Sequence[Path]) -> tuple[str, ...]:
    """The Java options that use the archive; none when there is none."""
    archive = archive_path(java, jars)
    return (f"-XX:AOTCache={archive}", *_NO_STUBS) if archive.exists() else ()


def make_archive(java: Path, jars: Sequence[Path], run_broker: RunBroker) -> None:
    """Record a broker's start, and make the archive of it. Two who do so at once make it twice, to the same end."""
    archive = archive_path(java, jars)
    with tempfile.TemporaryDirectory(prefix="statelog-archive-") as scratch:
        recorded = Path(scratch, "recorded")
        with run_broker(Path(scratch, "broker"), ("-XX:AOTMode=record", f"-XX:AOTConfiguration={recorded}")):
            pass
        directory = DataDirectory(Path(scratch, "create"))
        # In the archive's own directory, for a rename that is seen whole or not at all.
        with tempfile.TemporaryDirectory(prefix=".archive-", dir=archive.parent) as staging:
            made = Path(staging, archive.name)
            options = ("-XX:AOTMode=create", f"-XX:AOTConfiguration={recorded}", f"-XX:AOTCache={made}", *_NO_STUBS)
            SupervisedProcess(
                java_command(java, jars, directory.root, 512, options, "kafka.Kafka"),
                output=directory.java_output,
                lock=directory.lock,
                orphan_directory=None,
            ).wait()
            if made.exists():
                made.replace(archive)
        directory.release()
