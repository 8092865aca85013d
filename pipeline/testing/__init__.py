"""Topologies under test, without a broker: the real workers on the in-memory log, driven step by step by one thread::

    with TopologyDriver(topology) as driver:
        driver.pipe("gates", "gate-1", {"room": "hall", "way": "in"})
        assert driver.table("rooms")["hall"]["inside"] == 1

`World` is the machinery beneath: a cluster, processes that die, disks that outlive them. The project's own simulation
runs on it too.
"""

from pipeline.runtime.crash import CrashPoint
from pipeline.testing.driver import DriverError, Received, TopologyDriver
from pipeline.testing.world import World

__all__ = ["CrashPoint", "DriverError", "Received", "TopologyDriver", "World"]
