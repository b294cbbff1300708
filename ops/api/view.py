"""What of an answer a caller may see: ids in clear or as pseudonyms, dates exact or by the quarter.

Owns the shaping, and what else would give a hidden id or day away. It coarsens what is shown; it does
not make anybody anonymous who is known by their purchases.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ops.api.policy import Dates, Ids, Rights
from ops.customers import Customer, Foreseen
from scoring.value import Value

# A day and one of these numbers give another day.
_TELL_THE_DAY = ("t_x_days", "age_days", "silence_days")
# Of whom no purchase is left to score, `Customer.profile` does not say these.
_SCORES = (
    *_TELL_THE_DAY,
    "prob_alive",
    *Value._fields,
    "rfm",
    "margin",
)


def pseudonym(secret: bytes, text: str) -> str:
    """HMAC-SHA256 of a customer id (or the id of a change) in hex."""
    return hmac.digest(secret, text.encode("utf-8", "surrogatepass"), "sha256").hex()


def quarter(moment: datetime) -> str:
    """The quarter of a moment.

    >>> quarter(datetime(1998, 6, 30))
    '1998-Q2'
    """
    return f"{moment.year:04d}-Q{(moment.month + 2) // 3}"


class View:
    """Answers as one caller may see them.

    Parameters
    ----------
    rights : Rights
    secret : bytes
        Behind pseudonyms.
    """

    def __init__(self, rights: Rights, secret: bytes) -> None:
        self._secret = secret
        self.clear = rights.ids is Ids.CLEAR
        self.exact = rights.dates is Dates.EXACT

    def name(self, customer_id: str) -> str:
        """A customer id."""
        return customer_id if self.clear else pseudonym(self._secret, customer_id)

    def day(self, moment: datetime | None) -> datetime | str | None:
        """A date of a customer."""
        return moment if self.exact or moment is None else quarter(moment)

    def profile(self, customer: Customer) -> dict[str, Any]:
        """One customer; what an unscored one has not, is null."""
        found = customer.profile()
        found |= {name: None for name in _SCORES if name not in found}
        found["customer_id"] = self.name(customer.customer_id)
        for name in ("first_purchase_at", "last_purchase_at", "segment_since"):
            found[name] = self.day(found[name])
        if not self.exact:
            found |= dict.fromkeys(_TELL_THE_DAY)
        found["next_changes"] = [self.foreseen(step) for step in customer.foreseen()]
        return found

    def foreseen(self, step: Foreseen) -> dict[str, Any]:
        """A change to come."""
        return {
            "at": self.day(step.at),
            "kind": step.kind,
            "previous": step.previous,
            "current": step.current,
        }

    def change(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """A change event's body with its id, type and kind."""
        shown = dict(change)
        if not self.clear:
            shown["customer_id"] = self.name(change["customer_id"])
            # A hash of customer id, names and numbers: whoever guesses them could tell that they are right.
            shown["id"] = pseudonym(self._secret, change["id"])
            shown["source"] = None  # the record there says who it was
        if not self.exact:
            shown["occurred_at"] = quarter(datetime.fromisoformat(change["occurred_at"]))
            shown["silence_days"] = None
            if shown["next_review"] is not None:
                at = quarter(datetime.fromisoformat(shown["next_review"]["at"]))
                shown["next_review"] = {**shown["next_review"], "at": at}
        return shown
