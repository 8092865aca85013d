"""What device states and windows must be, recomputed from scratch by plain loops that share no code with the product.

From records of `readings`, as read back from the log: `recount(records, Parameters(partitions=4))`. From raw telemetry,
as it was produced: `recount(readings_of(messages, partitions=4), …)`. Then `differences(expected.devices, actual)`
is empty, or says readably where they differ.
"""

from tests.oracle.compare import differences
from tests.oracle.readings import Parameters, ReadingsRecord, Recount, recount
from tests.oracle.telemetry import TelemetryMessage, readings_of

__all__ = ["Parameters", "ReadingsRecord", "Recount", "TelemetryMessage", "differences", "readings_of", "recount"]
