"""What an oracle finds: how much it compared, what differs."""

from __future__ import annotations

from dataclasses import dataclass, field

SAID_MAX = 10
"""Differences kept in words; all are counted."""


@dataclass
class Verdict:
    """Differences between what is and what must be.

    Attributes
    ----------
    customers, changes : int
        Compared.
    """

    customers: int = 0
    changes: int = 0
    differences: int = 0
    said: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Count a difference."""
        self.differences += 1
        if len(self.said) < SAID_MAX:
            self.said.append(what)

    def __str__(self) -> str:
        if not self.differences:
            return f"agrees on {self.customers:,} customers and {self.changes:,} changes"
        return f"{self.differences:,} differences: {'; '.join(self.said)}"
