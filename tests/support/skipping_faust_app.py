"""The Faust host whose consumer loses its place, as Faust's own did: it stands behind records that nobody was given."""

from __future__ import annotations

from pipeline.faust_host.app import app
from pipeline.faust_host.consumer import HostConsumer, HostTransport

__all__ = ["app"]


class SkippingConsumer(HostConsumer):
    async def perform_seek(self) -> None:
        await super().perform_seek()
        self._placed = False
        async with self._reading:
            source = self._source(self.assignment())
            await self._thread.seek_wait(await self._thread.highwaters(*source))
            self._placed = True


HostTransport.Consumer = SkippingConsumer
