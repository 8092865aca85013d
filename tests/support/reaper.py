"""What tests start ends with the process that runs them, even when that one is killed and no fixture can see to it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import IO, Any, cast

# It holds the processes by descriptors, for a number may be another's by the time. The end of input is our end.
_REAPER = """
import os, select, signal, sys
held = []
for line in sys.stdin:
    for each in select.select(held, [], [], 0)[0]:
        held.remove(each)
        os.close(each)
    try:
        held.append(os.pidfd_open(int(line)))
    except ProcessLookupError:
        pass
for each in held:
    try:
        signal.pidfd_send_signal(each, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


def ends_with_us(process: subprocess.Popen[Any]) -> None:
    """Have it killed when this process is gone. Only Linux can."""
    if sys.platform == "linux":
        os.write(_orders().fileno(), b"%d\n" % process.pid)


@cache
def _orders() -> IO[bytes]:
    """The way to one reaper for all, of which nobody else holds this end."""
    # -I and -S: nothing but the script and the standard library. A session of its own: Ctrl-C is for us.
    command = [sys.executable, "-I", "-S", "-c", _REAPER]
    return cast("IO[bytes]", subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True).stdin)
