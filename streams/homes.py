"""Where a customer lives: the partition that Kafka's own producers choose."""

from __future__ import annotations

from hashlib import blake2b

from aiokafka.partitioner import murmur2

_RANKS = float(2**64)


def home_partition(customer_id: str, partitions: int) -> int:
    """Partition murmur2(customer_id) mod N, as Kafka's Java producer places a keyed record.

    >>> home_partition("C-42", 4)
    3
    """
    return int((murmur2(customer_id.encode()) & 0x7FFFFFFF) % partitions)


def sample_rank(customer_id: str) -> float:
    """Uniform in [0, 1), the same for ever: the customers with the lowest ranks are the sample."""
    digest = blake2b(customer_id.encode(), digest_size=8, person=b"sample").digest()
    return int.from_bytes(digest, "big") / _RANKS
