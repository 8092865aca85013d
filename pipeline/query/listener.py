"""Where a worker listens, and what it is called from elsewhere: known before anything is served there."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import zlib

from pipeline.errors import Misconfigured

LOOPBACK = "127.0.0.1:0"
BACKLOG = 256

# Below the ports that systems give to outgoing connections, and those that an embedded broker chooses from, so that a
# worker finds its own free when it comes back.
_FIRST_STEADY, _LAST_STEADY = 10_000, 20_000
_STEADY_PORTS = 8
"""Of one name: where another holds its first port, now and when the worker is back, it finds its second again."""


class Listener:
    """A bound port. A worker needs its address before it joins its group, and so before it can serve."""

    def __init__(self, bind: str = LOOPBACK, advertise: str | None = None) -> None:
        """`bind` is HOST:PORT, port 0 for a free one; `advertise` is the HOST:PORT that others reach it by.

        Misconfigured when either is none, when the port cannot be had, and when nobody could reach it: bound to
        every interface without a name.
        """
        host, port = split_address(bind)
        if advertise is None and host in {"0.0.0.0", "::"}:  # noqa: S104 (compared with, not bound to)
            raise Misconfigured(f"{bind} is every interface, no address to go to", hint="give --advertise HOST:PORT")
        public, public_port = (host, 0) if advertise is None else split_address(advertise)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self.socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            hint = "give another --http HOST:PORT; port 0 is any free one"
            raise Misconfigured(f"cannot listen on {bind}: {error.strerror or error}", hint=hint) from error
        # asyncio does this for sockets of its own making alone; without it every answer waits 40 ms for an ACK.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open_to_the_network = not is_loopback(host)
        self.address = join_address(public, public_port or self.socket.getsockname()[1])
        """HOST:PORT that others reach it by."""

    @classmethod
    def steady(cls, name: str, advertise: str | None = None) -> Listener:
        """On loopback, at the first of a few ports that follow from a worker's name; at any free one if all are taken.

        Kafka's classic protocol keeps the client.id, and with it the address, that a static member joined with first:
        one that restarts elsewhere within its session is looked for where it was.
        """
        host, _ = split_address(LOOPBACK)
        for attempt in range(_STEADY_PORTS):
            port = _FIRST_STEADY + zlib.crc32(f"{name}/{attempt}".encode()) % (_LAST_STEADY - _FIRST_STEADY)
            with contextlib.suppress(Misconfigured):
                return cls(join_address(host, port), advertise)
        return cls(LOOPBACK, advertise)

    def close(self) -> None:
        self.socket.close()


def split_address(text: str) -> tuple[str, int]:
    """HOST:PORT or [IPV6]:PORT in its parts; Misconfigured when it is neither."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not bare or (":" in bare) != bracketed or not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise Misconfigured(f"{text!r} is no HOST:PORT", hint="such as 127.0.0.1:8080 or [::1]:8080")
    return bare, int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant. A name other than `localhost` may be anybody's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
