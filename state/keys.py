"""Names of the Redis keys. No key is ever built from unvalidated text."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import InvalidTransactionError, shown
from schemas.transaction import is_customer_id


@dataclass(frozen=True, slots=True)
class Keys:
    """Where everything lives in one Redis.

    Attributes
    ----------
    prefix : str
        Before every key, so that several installations (or tests) share one server.
    cluster : bool
        On Redis Cluster the partition is the hash tag: a slice's keys share a slot and commit
        atomically.

    Examples
    --------
    >>> Keys().customer(3, "C-42"), Keys(prefix="eu:", cluster=True).customer(3, "C-42")
    ('customer:C-42', 'eu:{3}:customer:C-42')
    """

    prefix: str = ""
    cluster: bool = False

    def _of(self, partition: int, name: str) -> str:
        return f"{self.prefix}{{{partition}}}:{name}" if self.cluster else f"{self.prefix}{name}"

    def customer_prefix(self, partition: int) -> str:
        """What stands before the customer id."""
        return self._of(partition, "customer:")

    def customer(self, partition: int, customer_id: str) -> str:
        """A customer's hash.

        Raises
        ------
        InvalidTransactionError
            The id may not become part of a key.
        """
        if not is_customer_id(customer_id):
            raise InvalidTransactionError(f"{shown(customer_id)} is not a customer id")
        return self.customer_prefix(partition) + customer_id

    def partition(self, partition: int) -> str:
        """The checkpoint, a hash."""
        return self._of(partition, f"partition:{partition}")

    def outbox(self, partition: int) -> str:
        """Messages committed but not known to be published, a stream."""
        return self._of(partition, f"outbox:{partition}")

    def due(self, partition: int) -> str:
        """Every customer by time of review, a sorted set; +inf where silence changes nothing."""
        return self._of(partition, f"due:{partition}")

    def tombstones(self, partition: int) -> str:
        """Tombstones of customers erased, under other names; a hash of `<until, µs> <sequence>`."""
        return self._of(partition, f"erased:{partition}")

    def rebuild(self, partition: int) -> str:
        """Who is rebuilding the partition, a string that expires; nobody else may acquire it."""
        return self._of(partition, f"rebuild:{partition}")

    @property
    def rebuilt(self) -> str:
        """Partitions that an unfinished rebuild is through with, a string that expires."""
        return f"{self.prefix}rebuilt"

    @property
    def installation(self) -> str:
        """What may never change: partition count, time zone, currency; a hash."""
        return f"{self.prefix}installation"

    @property
    def scorecards(self) -> str:
        """All scorecards by version, a hash of JSON."""
        return f"{self.prefix}scorecards"

    @property
    def current_scorecard(self) -> str:
        """Version of the scorecard in use, a string."""
        return f"{self.prefix}scorecard:current"

    @property
    def learning(self) -> str:
        """What the learner knows of the scorecard in use and of its shadow, a string of JSON."""
        return f"{self.prefix}learning"
