"""The learner's sample: of all customers reported those with the lowest ranks, as last reported."""

from __future__ import annotations

import heapq
import logging

import msgspec
import numpy as np

from scoring.drift import Snapshot
from scoring.learning import LearningSample
from streams.homes import home_partition, home_partitions
from streams.samples import Sample, decode_sample

log = logging.getLogger("everscore")
_US_PER_DAY = 86_400_000_000


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
    """

    def __init__(self, customers_max: int) -> None:
        self.partitions = 1
        self._max = customers_max
        self._samples: dict[str, Sample] = {}
        self._highest: list[tuple[float, str]] = []  # a heap of (−rank, id)
        self._clocks: dict[int, int] = {}
        self.clock_us = -(2**62)

    def __len__(self) -> int:
        return len(self._samples)

    def clear(self) -> None:
        """Forget everyone: another worker learns now."""
        self._samples.clear()
        self._highest.clear()

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
        if sample.customer_id not in self._samples:
            if len(self._samples) >= self._max:
                if sample.rank >= -self._highest[0][0]:
                    return
                _, evicted = heapq.heappop(self._highest)
                del self._samples[evicted]
            heapq.heappush(self._highest, (-sample.rank, sample.customer_id))
        self._samples[sample.customer_id] = sample

    def _hear_clock(self, partition: int, clock_us: int) -> None:
        self._clocks[partition] = max(self._clocks.get(partition, clock_us), clock_us)
        self.clock_us = max(self.clock_us, clock_us)

    def _forget(self, customer_id: str) -> None:
        sample = self._samples.pop(customer_id, None)
        if sample is not None:
            self._highest.remove((-sample.rank, customer_id))
            heapq.heapify(self._highest)

    def snapshot(self) -> Snapshot:
        """Everyone as last reported, by rank, so that the order of reports does not matter."""
        samples = sorted(self._samples.values(), key=lambda sample: sample.rank)
        ids = tuple(sample.customer_id for sample in samples)
        homes = home_partitions(ids, self.partitions).tolist()
        return Snapshot(
            customer_ids=ids,
            frequency=np.array([sample.frequency for sample in samples], dtype=np.int64),
            first_day=np.array([sample.first_day for sample in samples], dtype=np.int64),
            last_day=np.array([sample.last_day for sample in samples], dtype=np.int64),
            monetary_value=np.array(
                [sample.monetary_value for sample in samples], dtype=np.float64
            ),
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
