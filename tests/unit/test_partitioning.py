import pytest

from pipeline.partitioning import murmur2, partition_of

# org.apache.kafka.common.utils.UtilsTest.testMurmur2, signed as Java prints them.
VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", VECTORS)
def test_murmur2_gives_kafkas_own_vectors(key: bytes) -> None:
    assert murmur2(key) == VECTORS[key] & 0xFFFFFFFF


def test_a_partition_is_the_hash_without_its_sign_bit_modulo_the_count() -> None:
    assert partition_of(b"21", 1 << 31) == -973932308 & 0x7FFFFFFF
    assert {partition_of(str(number).encode(), 6) for number in range(200)} == set(range(6))
    assert partition_of(b"", 1) == 0
