"""Instants as text: RFC 3339 in UTC with microseconds. Owns the format; reads no clock."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.transaction import EPOCH, FIRST_US, LAST_US

_US_PER_DAY = 86_400_000_000

# Days whose texts are kept: 1970 to 2100, 480 kB. Others numpy prints, at six times the cost.
_DAYS_KNOWN = 47_847
_COLUMNS = len("1970-01-01T00:00:00.000000Z")
# Below, numpy's own printing of so many (1.2 µs each) is cheaper than twenty array operations.
_FEW = 40

_TEMPLATE = np.frombuffer(b"1970-01-01T00:00:00.000000Z", dtype=np.uint8)


def rfc3339(instants_us: NDArray[np.int64]) -> list[str | None]:
    """RFC 3339 in UTC with microseconds; None where there is no such moment.

    >>> rfc3339(np.array([852076800000000, 2**63 - 1]))
    ['1997-01-01T00:00:00.000000Z', None]
    """
    known = (instants_us <= LAST_US) & (instants_us >= -LAST_US)
    texts = _texts(np.where(known, instants_us, 0))
    if known.all():
        return texts  # type: ignore[return-value]  # a list of str is one of str or None
    return [text if ok else None for text, ok in zip(texts, known.tolist(), strict=True)]


def rfc3339_of(instant_us: int) -> str | None:
    """The same of one instant.

    >>> rfc3339_of(852076800000000), rfc3339_of(2**63 - 1)
    ('1997-01-01T00:00:00.000000Z', None)
    """
    if FIRST_US <= instant_us <= LAST_US:
        moment = EPOCH + timedelta(microseconds=instant_us)
        return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    return rfc3339(np.array([instant_us]))[0]


def _texts(instants_us: NDArray[np.int64]) -> list[str]:
    if len(instants_us) < _FEW or not _all_known(instants_us):
        moments = instants_us.astype("datetime64[us]")
        return [text + "Z" for text in np.datetime_as_string(moments, unit="us").tolist()]
    days, rest = np.divmod(instants_us, _US_PER_DAY)
    seconds, micros = np.divmod(rest, 1_000_000)
    minutes, second = np.divmod(seconds, 60)
    hour, minute = np.divmod(minutes, 60)
    milli, micro = np.divmod(micros, 1_000)
    day_texts, two, three = _tables()
    text = np.tile(_TEMPLATE, (len(instants_us), 1))
    text[:, :10] = day_texts[days]
    text[:, 11:13] = two[hour]
    text[:, 14:16] = two[minute]
    text[:, 17:19] = two[second]
    text[:, 20:23] = three[milli]
    text[:, 23:26] = three[micro]
    whole = text.tobytes().decode("ascii")
    return [whole[at : at + _COLUMNS] for at in range(0, len(whole), _COLUMNS)]


def _all_known(instants_us: NDArray[np.int64]) -> bool:
    return bool(instants_us.min() >= 0 and instants_us.max() < _DAYS_KNOWN * _US_PER_DAY)


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Texts of days since 1970, of two digits and of three; a row of characters each."""
    days = np.arange(_DAYS_KNOWN).astype("datetime64[D]")
    texts = "".join(np.datetime_as_string(days).tolist())
    return (
        np.frombuffer(texts.encode("ascii"), dtype=np.uint8).reshape(-1, 10),
        np.frombuffer(b"".join(b"%02d" % n for n in range(100)), dtype=np.uint8).reshape(-1, 2),
        np.frombuffer(b"".join(b"%03d" % n for n in range(1000)), dtype=np.uint8).reshape(-1, 3),
    )
