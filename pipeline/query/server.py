"""The HTTP server of an aggregate worker, in a thread beside its loop."""

from __future__ import annotations

import threading
import time

import structlog
import uvicorn
from prometheus_client import CollectorRegistry

from pipeline.errors import PipelineError
from pipeline.query.application import application
from pipeline.query.directory import Directory
from pipeline.query.donation import Donate
from pipeline.query.guard import MAX_HEAD
from pipeline.query.listener import Listener
from pipeline.query.verification import Verify
from pipeline.runtime.view import WorkerView

MAX_CONNECTIONS = 256
START_PATIENCE_S = 10.0
STOP_PATIENCE_S = 0.5
"""How long a stop waits for answers under way before it cuts them."""

logger = structlog.get_logger(__name__)


class QueryServer:
    """Serves what a worker holds until it is stopped. Installs no signal handlers and writes no access log."""

    def __init__(
        self,
        view: WorkerView,
        directory: Directory,
        listener: Listener,
        *,
        verify: Verify,
        donate: Donate,
        registry: CollectorRegistry,
    ) -> None:
        """Misconfigured for a topology that names a table as the server names a path of its own."""
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(view, directory, verify, donate, registry),
                http="h11",
                ws="none",
                loop="asyncio",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=MAX_HEAD,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listener.socket],), name="statelog-http", daemon=True
        )

    @property
    def address(self) -> str:
        """HOST:PORT that others reach it by."""
        return self._listener.address

    def start(self) -> None:
        """Return when questions are answered."""
        self._thread.start()
        deadline = time.monotonic() + START_PATIENCE_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise PipelineError("the HTTP server did not start", hint="see the log", address=self.address)
            time.sleep(0.005)
        logger.info("serving queries", address=self.address)
        if self._listener.open_to_the_network:
            logger.warning("queries are open to the network, without encryption or password", address=self.address)

    def stop(self) -> None:
        """Stop listening, give answers under way half a second, cut the rest. A second call does nothing."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_PATIENCE_S)
            self._server.force_exit = True
            self._thread.join(STOP_PATIENCE_S)
        self._listener.close()
