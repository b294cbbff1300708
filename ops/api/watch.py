"""How far the workers are: lag, and when they were last seen to commit."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from ops.api.keys import utc_now
from ops.api.metrics import Metrics
from ops.customers import moment
from ops.lookup import Lookup
from schemas.errors import PipelineError
from schemas.learning import Learning
from state.store import Checkpoint

_LOOK_SECONDS = 1.0
_PACE_LOOKS = 11  # ten seconds: shorter jumps with every slice

_log = logging.getLogger("everscore.api")

Ends = Mapping[tuple[str, int], int]
"""(topic, partition) → offset of the record to come next."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one partition stands; see `documents.Freshness`."""

    lag_records: int | None = None
    stream_time: datetime | None = None
    last_success_at: datetime | None = None
    looked_at: datetime | None = None


class Watch:
    """Asks Redis and Kafka every second.

    Parameters
    ----------
    lookup : Lookup
    ends : callable
        Ends of the input topics as Kafka has them; None while it does not answer.
    metrics : Metrics
    now : callable
    """

    def __init__(
        self,
        lookup: Lookup,
        ends: Callable[[int], Awaitable[Ends | None]],
        metrics: Metrics,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._lookup = lookup
        self._ends = ends
        self._metrics = metrics
        self._now = now
        self._standings: dict[int, Standing] = {}
        self._commits: dict[int, tuple[int, int]] = {}
        self._checkpoints: dict[int, Checkpoint] = {}
        self._learning: tuple[bytes | None, Learning | None] = None, None
        self._pace: deque[tuple[datetime, int]] = deque(maxlen=_PACE_LOOKS)

    def standing(self, partition: int) -> Standing:
        """Where a partition stood when it was last looked at."""
        return self._standings.get(partition, Standing())

    def checkpoint(self, partition: int) -> Checkpoint | None:
        """A partition's checkpoint when it was last looked at."""
        return self._checkpoints.get(partition)

    @property
    def learning(self) -> Learning | None:
        """What the learner last left of the scorecard then in use."""
        return self._learning[1]

    @property
    def events_per_second(self) -> float | None:
        """Records counted a second, of late; None until two looks were taken."""
        if len(self._pace) < 2:
            return None
        (began, before), (ended, after) = self._pace[0], self._pace[-1]
        seconds = (ended - began).total_seconds()
        # A Redis that was rolled back counts again from where it stands.
        return max(after - before, 0) / seconds if seconds > 0 else None

    async def run(self) -> None:
        """Look until cancelled."""
        said = ""
        while True:
            try:
                await self.look()
                said = ""
            except PipelineError as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("lag is not known: %s", said)
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Look once."""
        partitions = await self._lookup.partitions()
        ends = await self._ends(partitions)
        for partition in range(partitions):
            checkpoint = await self._lookup.store.checkpoint(partition)
            now = self._now()
            lag = None
            if ends is not None:
                lag = sum(
                    max(ends.get((topic, partition), 0) - checkpoint.next_offsets.get(topic, 0), 0)
                    for topic in self._lookup.settings.input_topics
                )
                self._metrics.lag.labels(partition).set(lag)
            self._checkpoints[partition] = checkpoint
            commits = (checkpoint.epoch, checkpoint.commits)
            before = self._commits.get(partition, commits)
            self._commits[partition] = commits
            last = self.standing(partition).last_success_at
            self._standings[partition] = Standing(
                lag_records=lag,
                stream_time=moment(checkpoint.clock_us),
                last_success_at=now if commits != before else last,
                looked_at=now,
            )
        await self._look_at_learning()
        read = sum(
            one.applied + one.duplicates + one.dead + one.forwarded + one.erased
            for one in self._checkpoints.values()
        )
        self._pace.append((self._now(), read))

    async def _look_at_learning(self) -> None:
        body = await self._lookup.store.learning()
        if body == self._learning[0] is not None:
            return
        found = None
        if body is not None:
            with suppress(ValidationError):  # of a worker of another release
                found = Learning.model_validate_json(body)
        self._learning = body, found
        self._metrics.learning(found)
