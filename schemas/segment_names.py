"""What segments are called by default, and what may be their name or the label of their offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

NAME_CHARS_MAX = 64

DEFAULT_NAMES: Mapping[int, tuple[Sequence[str], Sequence[str]]] = MappingProxyType(
    {
        # k: names of the likelier alive half, of the other half; each from the highest value down
        2: (("Loyal",), ("Hibernating",)),
        3: (("Champions", "Loyal"), ("Hibernating",)),
        4: (("Champions", "Loyal"), ("At-Risk", "Hibernating")),
        5: (("Champions", "Loyal", "Promising"), ("At-Risk", "Hibernating")),
        6: (("Champions", "Loyal", "Promising"), ("Can't-Lose", "At-Risk", "Hibernating")),
        7: (
            ("Champions", "Loyal", "Potential", "Promising"),
            ("Can't-Lose", "At-Risk", "Hibernating"),
        ),
        8: (
            ("Champions", "Loyal", "Potential", "Promising"),
            ("Can't-Lose", "At-Risk", "Slipping", "Hibernating"),
        ),
    }
)

ALL_DEFAULT_NAMES: tuple[str, ...] = (*DEFAULT_NAMES[8][0], *DEFAULT_NAMES[8][1])
"""Every name that some number of segments has."""


def readable_label(text: str) -> str:
    """The text itself, if it can stand in a table, a URL and a metric.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> readable_label("Win back")
    'Win back'
    >>> readable_label("a/b")
    Traceback (most recent call last):
    ValueError: must be 1 to 64 printable characters, none of / [ ], no space first or last
    """
    fits = 0 < len(text) <= NAME_CHARS_MAX and text.isprintable()
    if not fits or set(text) & set("/[]") or text != text.strip():
        raise ValueError(
            f"must be 1 to {NAME_CHARS_MAX} printable characters, none of / [ ], no space first or "
            "last"
        )
    return text
