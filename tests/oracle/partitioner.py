"""Kafka's default partitioner, after `org.apache.kafka.common.utils.Utils.murmur2`."""

from __future__ import annotations

import struct


def partition_for(key: bytes, partitions: int) -> int:
    h = (0x9747B28C ^ len(key)) & 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", key[: len(key) // 4 * 4]):
        k = (word * 0x5BD1E995) % 2**32
        k = ((k ^ k >> 24) * 0x5BD1E995) % 2**32
        h = (h * 0x5BD1E995) % 2**32 ^ k
    tail = key[len(key) // 4 * 4 :]
    for index in reversed(range(len(tail))):
        h ^= tail[index] << (8 * index)
    if tail:
        h = (h * 0x5BD1E995) % 2**32
    h ^= h >> 13
    h = (h * 0x5BD1E995) % 2**32
    h ^= h >> 15
    return (h & 0x7FFFFFFF) % partitions
