"""What an error of RocksDB, or of the disk below it, means to the runtime.

rocksdict raises bare `Exception` with a text and no code, so the disk itself is asked, not the text.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from pipeline.errors import DiskFull, Misconfigured, PipelineError, StateUnusable

_ROOM_BYTES = 64 << 20
"""What a store needs to go on: memtables on their way to disk. Some is free again by the time that we look."""
_FILES_TO_GO_ON = 16
"""All at once, and more than it has: what RocksDB could not open left its descriptors free again."""
_BLOCK = bytes(1 << 20)
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NOT_THE_STORES_FAULT = {
    errno.EACCES: "give this user the directory and all that is in it",
    errno.EPERM: "give this user the directory and all that is in it",
    errno.EROFS: "the file system is mounted read-only",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
    errno.ENOTDIR: "a part of the path is a file",
    errno.ELOOP: "a part of the path is a symbolic link",
}


def translated(error: Exception, directory: Path) -> PipelineError:
    """The error to raise, `from` this one: what the disk refuses to us as well, else StateUnusable."""
    refused = _what_the_disk_refuses(directory)
    if refused is not None:
        return from_os_error(refused, directory)
    return StateUnusable("the store cannot be trusted", directory=directory, cause=repr(str(error)))


def from_os_error(error: OSError, directory: Path) -> PipelineError:
    """DiskFull for no room, Misconfigured for what a person has to permit, StateUnusable for a failing disk."""
    if error.errno in _NO_ROOM:
        return DiskFull(
            "no room left for the store",
            hint="make room and start again; nothing is lost, the store goes on from its changelog",
            directory=directory,
        )
    if error.errno in _NOT_THE_STORES_FAULT:
        return Misconfigured(
            "the store's directory cannot be used",
            hint=_NOT_THE_STORES_FAULT[error.errno],
            directory=directory,
            cause=repr(str(error)),
        )
    return StateUnusable("the store's disk fails", directory=directory, cause=repr(str(error)))


def _what_the_disk_refuses(directory: Path) -> OSError | None:
    """Do what RocksDB does, open every file and write one, where the system says why not by number."""
    held: list[int] = []
    try:
        for path in directory.rglob("*"):
            if path.is_file():
                held.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        for _ in range(_FILES_TO_GO_ON):
            held.append(os.open(directory, os.O_RDONLY | os.O_CLOEXEC))
        with tempfile.TemporaryFile(dir=directory) as file:
            for _ in range(_ROOM_BYTES // len(_BLOCK)):
                file.write(_BLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error
    finally:
        for descriptor in held:
            os.close(descriptor)
    return None
