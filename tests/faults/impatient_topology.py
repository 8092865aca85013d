"""The topology that hangs, among clients that give a loop up which has not polled for seconds instead of a minute."""

from __future__ import annotations

import pipeline.log.kafka
from tests.faults import hanging_topology

POLL_INTERVAL_S = 6.0

pipeline.log.kafka.MAX_POLL_INTERVAL_MS = int(POLL_INTERVAL_S * 1000)

TOPOLOGY = hanging_topology.TOPOLOGY
