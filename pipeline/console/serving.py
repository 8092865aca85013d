"""The console beside whatever else the process does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from operators.topology import Topology
from pipeline.client import Client
from pipeline.console.application import console_application
from pipeline.console.asking import Clients
from pipeline.console.controls import Controls
from pipeline.console.letters import LetterRoutes
from pipeline.console.look_up import LookUpRoutes
from pipeline.console.sampling import Sampler
from pipeline.dead_letters.letters import DeadLetters
from pipeline.errors import Misconfigured
from pipeline.log.kafka import connect
from pipeline.query.listener import Listener
from pipeline.query.server import HttpServer
from pipeline.settings import Settings

LOOK_UP_PATIENCE_S = 1.0
"""A page would rather hear soon that a partition is being restored, and ask again."""


@contextmanager
def console_on(settings: Settings, topology: Topology, bind: str, controls: Controls | None = None) -> Iterator[str]:
    """Serve the console of a pipeline for as long as the block runs; its URL.

    Raises Misconfigured when `bind` is no address of this machine alone, or cannot be had.
    """
    with ExitStack() as stack:
        listener = Listener(bind, advertise=bind)  # which is refused below where it is no address to go to
        stack.callback(listener.close)
        if listener.open_to_the_network:
            raise Misconfigured(
                f"{bind} can be reached from other machines", hint="the console has no password: give 127.0.0.1:PORT"
            )
        log = connect(settings)
        admin = log.admin()
        stack.callback(admin.close)
        sampling = stack.enter_context(Client.connect(settings, topology, patience_s=0))
        clients = Clients(lambda: Client.connect(settings, topology, patience_s=LOOK_UP_PATIENCE_S))
        stack.callback(clients.close)
        application = console_application(
            topology,
            settings.prefix,
            Sampler(topology, settings.prefix, admin, sampling),
            LookUpRoutes(topology, clients),
            LetterRoutes(lambda: DeadLetters(log, admin, settings.prefix)),
            controls,
        )
        server = HttpServer(application, listener)
        server.start()
        stack.callback(server.stop)
        yield f"http://{server.address}/"
