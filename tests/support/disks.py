"""File systems of a test's own: small, full, or not to be written to."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest


class SmallDisk:
    """A tmpfs, which skips the test where this user may not mount one."""

    def __init__(self, megabytes: int) -> None:
        # Not among pytest's own, which a later run deletes: a test that was killed leaves its disk mounted.
        self.path = Path(tempfile.mkdtemp(prefix="statelog-disk-"))
        self._mount(f"size={megabytes}m")

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)]
        done = subprocess.run(command, check=False, capture_output=True)
        if done.returncode:
            self.close()
            pytest.skip(f"this user may not mount a file system: {done.stderr.decode().strip()}")

    def resize(self, megabytes: int) -> None:
        self._mount(f"remount,size={megabytes}m")

    def make_read_only(self) -> None:
        """Nobody may have a file open for writing."""
        self._mount("remount,ro")

    def make_writable(self) -> None:
        self._mount("remount,rw")

    def fill(self, leave_bytes: int) -> Path:
        """Ballast up to so many free bytes."""
        ballast = self.path / "ballast"
        found = os.statvfs(self.path)
        free = found.f_bavail * found.f_frsize
        with ballast.open("wb") as file:
            for _ in range(max(free - leave_bytes, 0) >> 16):
                file.write(bytes(1 << 16))
        return ballast

    def close(self) -> None:
        if self.path.is_mount():
            subprocess.run(["umount", "--lazy", self.path], check=True)
        self.path.rmdir()
