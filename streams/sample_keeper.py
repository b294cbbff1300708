"""The learner's sample: of all customers reported those with the lowest ranks, as last reported."""

from __future__ import annotations

import logging

import msgspec
import numpy as np

from scoring.drift import Snapshot
from scoring.learning import LearningSample
from streams.homes import home_partition, home_partitions
from streams.samples import decode_sample

log = logging.getLogger("everscore")
_US_PER_DAY = 86_400_000_000
_ROW = np.dtype(  # a `Sample` between its id and its clock
    [
        ("rank", np.float64),
        ("frequency", np.int64),
        ("first_day", np.int64),
        ("last_day", np.int64),
        ("monetary_value", np.float64),
    ]
)
_NOBODY = (-np.inf, 0, 0, 0, 0.0)


class SampleKeeper:
    """The customers with the lowest ranks, each as last reported.

    Parameters
    ----------
    customers_max : int

    Attributes
    ----------
    partitions : int
        Of an input topic; to be told before anyone is reported.
    clock_us : int
        The latest clock of all partitions.

    Notes
    -----
    One array for all, made at the start: the role comes to a worker that is busy with what another has
    left, and must not make it larger.
    """

    def __init__(self, customers_max: int) -> None:
        self.partitions = 1
        self._rows = np.empty(customers_max, _ROW)
        self._row_of: dict[str, int] = {}
        self._clocks: dict[int, int] = {}
        self.clear()
        self.clock_us = -(2**62)

    def __len__(self) -> int:
        return len(self._row_of)

    def clear(self) -> None:
        """Forget everyone: another worker learns now."""
        self._row_of.clear()
        self._rows[:] = _NOBODY
        self._ids = [""] * len(self._rows)
        self._free = list(range(len(self._rows)))
        self._highest: int | None = None  # row of the highest rank, once it was looked for

    def report(self, key: bytes | None, raw: bytes | None) -> None:
        """Take one record of the samples topic; without a value (erased) the customer goes.

        One that is no sample is left aside: learning must not end counting.
        """
        if raw is None:
            self._forget((key or b"").decode(errors="replace"))
            return
        try:
            sample = decode_sample(raw)
        except msgspec.MsgspecError as error:
            log.warning("a record of the samples topic is no sample: %s", error)
            return
        self._hear_clock(home_partition(sample.customer_id, self.partitions), sample.clock_us)
        row = self._row_of.get(sample.customer_id)
        if row is None:
            row = self._room_for(sample.rank)
            if row is None:
                return
            self._row_of[sample.customer_id] = row
            self._ids[row] = sample.customer_id
        self._rows[row] = sample[1:-1]

    def _room_for(self, rank: float) -> int | None:
        """A row for someone new, if need be of the one with the highest rank; None if that is theirs."""
        if not self._free:
            if self._highest is None:
                self._highest = int(self._rows["rank"].argmax())
            if rank >= self._rows["rank"][self._highest]:
                return None
            self._forget(self._ids[self._highest])
        self._highest = None
        return self._free.pop()

    def _hear_clock(self, partition: int, clock_us: int) -> None:
        self._clocks[partition] = max(self._clocks.get(partition, clock_us), clock_us)
        self.clock_us = max(self.clock_us, clock_us)

    def _forget(self, customer_id: str) -> None:
        row = self._row_of.pop(customer_id, None)
        if row is not None:
            self._rows[row], self._ids[row] = _NOBODY, ""
            self._free.append(row)
            self._highest = None

    def snapshot(self) -> Snapshot:
        """Everyone as last reported, by rank, so that the order of reports does not matter."""
        order = np.argsort(self._rows["rank"], kind="stable")[len(self._free) :]  # nobody is first
        rows = self._rows[order]
        ids = tuple(self._ids[row] for row in order.tolist())
        homes = home_partitions(ids, self.partitions).tolist()
        return Snapshot(
            customer_ids=ids,
            frequency=rows["frequency"].copy(),
            first_day=rows["first_day"].copy(),
            last_day=rows["last_day"].copy(),
            monetary_value=rows["monetary_value"].copy(),
            clock_us=np.array([self._clocks[home] for home in homes], dtype=np.int64),
        )

    def columns(self) -> LearningSample:
        """The sample as of `clock_us`, as `learn` wants it.

        Each partition has a now of its own: customers of one that lags behind the latest are moved
        forward by whole days, or they would look silent for as long as it lags.
        """
        return sample_at(self.snapshot(), self.clock_us)


def sample_at(snapshot: Snapshot, now_us: int) -> LearningSample:
    """A snapshot brought to one moment; see `SampleKeeper.columns`."""
    lag = (now_us - snapshot.clock_us) // _US_PER_DAY
    return LearningSample(
        frequency=snapshot.frequency,
        first_day=snapshot.first_day + lag,
        last_day=snapshot.last_day + lag,
        monetary_value=snapshot.monetary_value,
    )
