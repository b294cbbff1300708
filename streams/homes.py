"""Where a customer lives: the partition that Kafka's own producers choose."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from zlib import crc32

import numpy as np
from aiokafka.partitioner import murmur2
from numpy.typing import NDArray

from schemas.compiled import compiled
from schemas.transaction import ID_CHARS_MAX

_homes = compiled("streams._homes")

_MURMUR = np.uint32(0x5BD1E995)
_RANKS = float(2**64)
_PERSON = b"sample"
# The longest customer id in UTF-8. Longer keys are nobody's home, only a bad record's: murmur2 in
# Python takes half a second for a megabyte of them.
_KEY_BYTES_MAX = 4 * ID_CHARS_MAX


def home_partition(customer_id: str, partitions: int) -> int:
    """Partition murmur2(customer_id) mod N, as Kafka's Java producer places a keyed record.

    >>> home_partition("C-42", 4)
    3
    """
    return partition_of(customer_id.encode(), partitions)


def home_partitions(customer_ids: Sequence[str], partitions: int) -> NDArray[np.int64]:
    """The same for many, at a tenth of the cost.

    >>> home_partitions(["C-42", "00001", "Zoë"], 4).tolist() == [
    ...     home_partition(name, 4) for name in ("C-42", "00001", "Zoë")
    ... ]
    True
    """
    if _homes is not None:
        found: NDArray[np.int64] = _homes.home_partitions(
            list(customer_ids), partitions, _KEY_BYTES_MAX
        )
        if not len(found) or found.min() >= 0:
            return found
    return home_partitions_plainly(customer_ids, partitions)


def home_partitions_plainly(customer_ids: Sequence[str], partitions: int) -> NDArray[np.int64]:
    """The same with numpy, for ids of any length."""
    homes = np.empty(len(customer_ids), dtype=np.int64)
    by_size: dict[int, tuple[list[int], list[bytes]]] = {}
    for row, customer_id in enumerate(customer_ids):
        key = customer_id.encode()
        rows, keys = by_size.setdefault(len(key), ([], []))
        rows.append(row)
        keys.append(key)
    for size, (rows, keys) in by_size.items():
        if size > _KEY_BYTES_MAX:
            homes[rows] = [partition_of(key, partitions) for key in keys]
        else:
            characters = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), size)
            homes[rows] = (_murmur2(characters) & 0x7FFFFFFF) % partitions
    return homes


def _murmur2(keys: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """MurmurHash2 with Kafka's seed, of keys of one size; shape (n, size) to (n,)."""
    count, size = keys.shape
    whole = size // 4 * 4
    found = np.full(count, 0x9747B28C ^ size, dtype=np.uint32)
    words = np.ascontiguousarray(keys[:, :whole]).view("<u4") * _MURMUR
    words ^= words >> np.uint32(24)
    words *= _MURMUR
    for word in words.T:
        found = found * _MURMUR ^ word
    if whole < size:
        for place in range(size - whole):
            found ^= keys[:, whole + place].astype(np.uint32) << np.uint32(8 * place)
        found *= _MURMUR
    found ^= found >> np.uint32(13)
    found *= _MURMUR
    return found ^ found >> np.uint32(15)


def partition_of(key: bytes | None, partitions: int) -> int:
    """Partition of a key; a record without one goes to the first."""
    if key is None:
        return 0
    if len(key) > _KEY_BYTES_MAX:
        return crc32(key) % partitions
    if _homes is not None:
        return int(_homes.positive_murmur2(key)) % partitions
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def sample_ranks(customer_ids: Sequence[str]) -> Sequence[float]:
    """`sample_rank` of many."""
    if _homes is None:
        return [sample_rank(customer_id) for customer_id in customer_ids]
    ranks: list[float] = _homes.sample_ranks(list(customer_ids), _PERSON.ljust(8, b"\0")).tolist()
    return [
        sample_rank(customer_id) if rank < 0 else rank
        for customer_id, rank in zip(customer_ids, ranks, strict=True)
    ]


def sample_rank(customer_id: str) -> float:
    """Uniform in [0, 1), the same for ever: the customers with the lowest ranks are the sample."""
    digest = blake2b(customer_id.encode(), digest_size=8, person=_PERSON).digest()
    return int.from_bytes(digest, "big") / _RANKS
