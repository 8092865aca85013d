"""A broker's data directory: who has it, and what lies where in it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from pipeline.errors import Misconfigured, StateLocked


class DataDirectory:
    """Held by one broker at a time. A temporary one lives as long as it is held."""

    def __init__(self, given: Path | None) -> None:
        """Take it. StateLocked when another broker has it, Misconfigured when it cannot be made."""
        self.temporary = given is None
        self.root = Path(tempfile.mkdtemp(prefix="statelog-broker-")) if given is None else given.absolute()
        self.logs = self.root / "kafka"
        self.properties = self.root / "server.properties"
        self.log = self.root / "broker.log"
        self.java_output = self.root / "java.log"
        try:
            (self.root / "tmp").mkdir(parents=True, exist_ok=True)
            self.lock = os.open(self.root / "broker.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Misconfigured("the data directory cannot be used", data_dir=self.root, reason=error) from error
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self.lock, 200, 0).decode().strip()
            os.close(self.lock)
            raise StateLocked(
                "another broker runs on this data directory",
                hint="use that one, stop it, or give this one a directory of its own",
                data_dir=self.root,
                holder=holder or "starting",
            ) from None
        os.ftruncate(self.lock, 0)

    def formatted(self) -> bool:
        """Whether Kafka's storage is complete: the file that it writes last is there."""
        return (self.logs / "meta.properties").exists()

    def say_holder(self, holder: str) -> None:
        """What somebody who finds the directory taken is told."""
        os.pwrite(self.lock, holder.encode(), 0)

    def tail(self, lines: int = 25) -> str:
        """The end of what Kafka and Java wrote."""
        texts = (path.read_text("utf-8", "replace") for path in (self.log, self.java_output) if path.exists())
        return "\n".join(line for text in texts for line in text.splitlines()[-lines:])

    def release(self) -> None:
        """Give it back; a temporary one goes with all that is in it."""
        if self.temporary:
            shutil.rmtree(self.root, ignore_errors=True)
        # A fork may still hold the descriptor, so closing it would not be enough.
        fcntl.flock(self.lock, fcntl.LOCK_UN)
        os.close(self.lock)
