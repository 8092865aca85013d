"""The HTTP server of a worker, in a thread beside its loop."""

from __future__ import annotations

import ssl
import threading
import time

import structlog
import uvicorn
from starlette.types import ASGIApp

from pipeline.errors import PipelineError
from pipeline.query.listener import Listener
from pipeline.query.patience import MAX_CONNECTIONS, PatientLoop, PatientProtocol

START_PATIENCE_S = 10.0
STOP_PATIENCE_S = 0.5
"""How long a stop waits for answers under way before it cuts them."""

logger = structlog.get_logger(__name__)


class HttpServer:
    """Serves an application until it is stopped. Installs no signal handlers and writes no access log."""

    def __init__(self, application: ASGIApp, listener: Listener, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: what it serves with over TLS, if it does."""
        self._listener = listener
        self._tls = tls is not None
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                http=PatientProtocol,
                ws="none",
                loop=f"{PatientLoop.__module__}:{PatientLoop.__qualname__}",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=1,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
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
        logger.info("serving http", address=self.address, tls=self._tls)

    def stop(self) -> None:
        """Stop listening, give answers under way half a second, cut the rest. A second call does nothing."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_PATIENCE_S)
            self._server.force_exit = True
            self._thread.join(STOP_PATIENCE_S)
        self._listener.close()
