"""A device as this host keeps it: one value that says which readings it includes and what of them may still be undone.

Faust's tables change neither together nor with the source offsets: each write goes to RocksDB at once and to a
changelog some time later, every table for itself. So the device's value, its *ledger*, is the only thing that is
folded, and it carries all that a fold did elsewhere:

- `position`: the source record that it includes, with all before. A record at or below it folds nothing.
- `origins`: the greatest telemetry offset folded. A reading sent twice by the transform folds nothing.
- `unsettled`: *effects* of records: rows of device-windows put and deleted, results, a refusal. An effect is carried
  out once the ledger that holds it is in the changelog, and left out of ledgers written after it is in Kafka itself.

Rules for record N, in the order in which they happen: the ledger that includes N goes to RocksDB and the changelog;
*then* the effect of N goes out; *then* N is acknowledged, when all records before it are. It follows, for a crash
anywhere, with RocksDB ahead of its changelog, with the changelog ahead of the commit, or with no disk left:

1. If an effect is visible anywhere, the changelog has a ledger that includes its record. So device-windows never knows
   more than a ledger does, and a fold that is repeated reads what it read the first time: window rows, under the
   effects in `unsettled`, which are laid over them.
2. A record that is not acknowledged comes again. If its ledger is lost, it folds anew from the ledger before; nothing
   that it did was visible (1). If its ledger is there, that is written once more, as the changelog may never have got
   it, and the record's effect is carried out again. Effects are puts and deletes of whole rows, so again is the same;
   results and refusals may be seen twice.
3. An effect is left out of a ledger only when its record was acknowledged, so when it was in Kafka. So no record that
   comes again misses its effect.
4. What is in RocksDB but in no changelog belongs to records that were not acknowledged: (2) writes it. So once the
   records that came again are done, a lost disk loses nothing.

A forgotten device keeps an empty ledger, or the readings before its tombstone would bring it back when they come again.
"""

from __future__ import annotations

import msgspec

from operators.api import Output
from pipeline.state.envelope import seal, unseal
from schemas.state import DeviceRow, StateCodec


class Effect(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a record did beside changing its device."""

    offset: int
    """The source record's."""
    rows: dict[bytes, bytes | None]
    """Rows of device-windows, sealed; None deletes."""
    results: list[Output]
    refusal: tuple[str, str] | None
    """Reason and detail."""


class Ledger(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """One device."""

    source: str
    """The id of the source topic that `position` is of."""
    position: int
    """The greatest offset included; -1 for none."""
    origins: dict[bytes, int]
    """By `operators.keys.origin_key`, the greatest offset folded."""
    device: DeviceRow | None
    """None once it was forgotten."""
    unsettled: list[Effect]
    """By offset."""


_codec = StateCodec(Ledger)


def encode(ledger: Ledger) -> bytes:
    return seal(_codec.encode(ledger))


def decode(data: bytes) -> Ledger:
    """Raises StateUnusable or ValueError for bytes that `encode` did not make."""
    return _codec.decode(unseal(data))
