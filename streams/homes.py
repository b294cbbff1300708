"""Where a customer lives: the partition that Kafka's own producers choose."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from zlib import crc32

from aiokafka.partitioner import murmur2

from schemas.transaction import ID_CHARS_MAX

_RANKS = float(2**64)
# The longest customer id in UTF-8. Longer keys are nobody's home, only a bad record's: murmur2 in
# Python takes half a second for a megabyte of them, and the cache would keep it.
_KEY_BYTES_MAX = 4 * ID_CHARS_MAX


def home_partition(customer_id: str, partitions: int) -> int:
    """Partition murmur2(customer_id) mod N, as Kafka's Java producer places a keyed record.

    >>> home_partition("C-42", 4)
    3
    """
    return partition_of(customer_id.encode(), partitions)


def partition_of(key: bytes | None, partitions: int) -> int:
    """Partition of a key; a record without one goes to the first."""
    if key is None:
        return 0
    if len(key) > _KEY_BYTES_MAX:
        return crc32(key) % partitions
    return _positive_murmur2(key) % partitions


@lru_cache(maxsize=262_144)  # keys of 20 bytes: about 50 MB when full; a miss costs 8 µs
def _positive_murmur2(key: bytes) -> int:
    return int(murmur2(key) & 0x7FFFFFFF)


def sample_rank(customer_id: str) -> float:
    """Uniform in [0, 1), the same for ever: the customers with the lowest ranks are the sample."""
    digest = blake2b(customer_id.encode(), digest_size=8, person=b"sample").digest()
    return int.from_bytes(digest, "big") / _RANKS
