"""Many texts as one: a column of bytes without an object for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Texts:
    """n texts, one after the other.

    Attributes
    ----------
    blob : bytes
    ends : int64, shape (n,)
        Where each of them ends; it begins where the one before it ends.

    Examples
    --------
    >>> texts = Texts.of([b"one", b"", b"three"])
    >>> texts.blob, texts.ends.tolist(), texts[2], list(texts)
    (b'onethree', [3, 3, 8], b'three', [b'one', b'', b'three'])
    """

    blob: bytes
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Texts:
        """The same, joined."""
        sizes = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        return cls(b"".join(texts), np.cumsum(sizes))

    @classmethod
    def same_size(cls, blob: bytes, size: int) -> Texts:
        """Texts of `size` bytes each."""
        return cls(blob, np.arange(size, len(blob) + 1, size, dtype=np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Texts]) -> Texts:
        """Those of all parts, in their order."""
        if len(parts) == 1:
            return parts[0]
        begins = np.cumsum([0, *(len(part.blob) for part in parts)])
        ends = [part.ends + begin for part, begin in zip(parts, begins.tolist(), strict=False)]
        none = np.zeros(0, dtype=np.int64)
        return cls(b"".join(part.blob for part in parts), np.concatenate([none, *ends]))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> bytes:
        return self.blob[int(self.ends[index - 1]) if index else 0 : int(self.ends[index])]

    def __iter__(self) -> Iterator[bytes]:
        blob, start = self.blob, 0
        for end in self.ends.tolist():
            yield blob[start:end]
            start = end
