"""The verifying process: a setup and then requests on stdin, progress and verdicts on stdout, a JSON line each.

It ends when stdin does, whatever it is doing: the end of stdin is the end of whoever asked.
"""

from __future__ import annotations

import os
import queue
import sys
import threading

import msgspec

from operators.topology import AggregateStage
from pipeline.errors import Misconfigured, PipelineError
from pipeline.log.kafka import connect
from pipeline.runtime.start import load_topology, stage_of
from pipeline.settings import Settings
from pipeline.verify.prove import Prover
from pipeline.verify.wire import Failure, Request, Setup

_NICENESS = 10
"""Behind the worker, which has readings to fold."""


def _requests(lines: queue.Queue[bytes]) -> None:
    # Not sys.stdin: an interpreter that ends while a thread waits in that ends by a crash.
    rest = b""
    while data := os.read(sys.stdin.fileno(), 65_536):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            lines.put(line)
    os._exit(0)


def _say(message: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def _serve(lines: queue.Queue[bytes]) -> None:
    setup = msgspec.json.decode(lines.get(), type=Setup)
    settings = Settings(**setup.settings)
    stage = stage_of(load_topology(settings), setup.stage)
    if not isinstance(stage, AggregateStage):
        raise Misconfigured("a stateless stage has nothing to verify", stage=setup.stage)
    prover = Prover(settings, stage, connect(settings), _say)
    while True:
        _say(prover.prove(msgspec.json.decode(lines.get(), type=Request)))


def main() -> None:
    os.nice(_NICENESS)
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_requests, args=(lines,), daemon=True).start()
    try:
        _serve(lines)
    except PipelineError as error:
        _say(Failure(str(error), error.hint))
        sys.exit(1)


if __name__ == "__main__":
    main()
