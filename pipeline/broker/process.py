"""The parent's side of the supervisor."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from pipeline.broker import supervisor
from pipeline.errors import BrokerFailed


class SupervisedProcess:
    """A command that ends with this process, even when this process is killed."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: Path,
        lock: int | None = None,
        orphan_directory: Path | None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it. `output` takes what it prints; `lock` is a descriptor that stays open until it has ended.

        `orphan_directory` is removed, if this process leaves it behind. `environment`: none for that of this process.
        """
        self._supervisor = subprocess.Popen(
            # -I and -S: no site-packages, no environment; nothing but the script and the standard library.
            [
                sys.executable,
                "-I",
                "-S",
                supervisor.__file__,
                str(os.getpid()),
                output,
                orphan_directory or "",
                *command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            pass_fds=() if lock is None else (lock,),
            # Ctrl-C is the parent's to handle: it stops the command when it has no more need of it.
            start_new_session=True,
        )
        self._orders = cast("IO[bytes]", self._supervisor.stdin)
        with cast("IO[bytes]", self._supervisor.stdout) as said:
            pid = said.readline()
        if not pid:
            self._supervisor.wait()
            raise BrokerFailed("the supervising process did not start", command=command[0])
        self.pid = int(pid)

    def alive(self) -> bool:
        return self._supervisor.poll() is None

    def wait(self) -> int:
        """Wait for the end; the exit status, or 128 plus the signal's number."""
        return self._supervisor.wait()

    def terminate(self) -> None:
        """Ask it to stop, kill it when it takes longer than the supervisor's grace; returns when it has ended."""
        self._order(supervisor.TERMINATE)

    def kill(self) -> None:
        """SIGKILL; returns when it has ended."""
        self._order(supervisor.KILL)

    def _order(self, order: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended, and by an earlier order, respectively
            self._orders.write(order)
            self._orders.flush()
        self._supervisor.wait()
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
