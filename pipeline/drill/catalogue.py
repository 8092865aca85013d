"""Which drills there are. Quick to import: the command's help lists them."""

from __future__ import annotations

from typing import Final

from pipeline.drill.broker_restart import BrokerRestart
from pipeline.drill.drill import Drill
from pipeline.drill.kill import DiskLoss, Kill
from pipeline.drill.poison import Poison
from pipeline.drill.rebalance_storm import RebalanceStorm
from pipeline.drill.zombie import Zombie

DRILLS: Final[dict[str, Drill]] = {
    drill.name: drill for drill in (Kill(), DiskLoss(), Zombie(), Poison(), RebalanceStorm(), BrokerRestart())
}
"""In the order of `all`: last the one that harms what the others stand on."""
ALL: Final = "all"
