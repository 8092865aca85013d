"""Which partition a key belongs to: the rule that Java's producer, aiokafka and this pipeline share."""

from __future__ import annotations

from struct import iter_unpack

GROW_HINT = (
    "a count never changes: give a new pipeline its own --prefix and count, replay telemetry into it, "
    "compare what `statelog scan` gives, switch the readers over"
)

_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_SHIFT = 24


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2, unsigned.

    Source: Austin Appleby's MurmurHash2 with the seed of `org.apache.kafka.common.utils.Utils.murmur2`.
    """
    length = len(data)
    whole = length - length % 4
    digest = (_SEED ^ length) & _MASK
    for (word,) in iter_unpack("<I", data[:whole]):
        mixed = word * _MULTIPLIER & _MASK
        mixed ^= mixed >> _SHIFT
        digest = digest * _MULTIPLIER & _MASK ^ mixed * _MULTIPLIER & _MASK
    if whole < length:
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    digest ^= digest >> 13
    digest = digest * _MULTIPLIER & _MASK
    return digest ^ digest >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner gives this key: murmur2 without its sign bit, modulo the count."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
