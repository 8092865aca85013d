"""For pytest, which finds this by its entry point: the fixture `topology_driver`.

Nothing else of the pipeline is imported until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from operators.topology import Topology
    from pipeline.testing import TopologyDriver


class MakeDriver(Protocol):
    def __call__(self, topology: Topology, **options: Any) -> TopologyDriver: ...


@pytest.fixture
def topology_driver() -> Iterator[MakeDriver]:
    """Makes `pipeline.testing.TopologyDriver`s, with its arguments, and closes them when the test is over."""
    from pipeline.testing import TopologyDriver

    with ExitStack() as drivers:
        yield lambda topology, **options: drivers.enter_context(TopologyDriver(topology, **options))
