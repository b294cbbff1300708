"""Sweeps: silence is let do its work often by whoever keeps pace, seldom by whoever catches up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from faust.types import TP

from streams import sweeps
from streams.settings import Settings
from streams.sweeps import SECONDS_BEHIND, Sweeps

SETTINGS = Settings(slice_records_max=100, sweep_interval_seconds=0.2)
TRANSACTIONS, REKEYED = SETTINGS.input_topics
CLOCK_US, WALL_US = 1_000, 5_000_000


class Clock:
    """A loop's time that stands still until somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr(sweeps, "_now", lambda: self.seconds)
        monkeypatch.setattr(sweeps, "time", SimpleNamespace(time_ns=lambda: WALL_US * 1_000))
        monkeypatch.setattr(sweeps.asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds > self.until:
            raise asyncio.CancelledError

    async def run(self, some: Sweeps, until: float) -> None:
        self.until = until
        with pytest.raises(asyncio.CancelledError):
            await some.run()


class Engine:
    """Two partitions of which so many customers are due at every look."""

    def __init__(self, due: int = 1) -> None:
        checkpoint = SimpleNamespace(clock_us=CLOCK_US)
        self.owned = {p: SimpleNamespace(checkpoint=checkpoint) for p in (0, 1)}
        self.due = due
        self._left = {0: due, 1: due}
        self.sizes: dict[int, set[int]] = {0: set(), 1: set()}

    def caught_up_clock(self, partition: int, wall_us: int) -> int:
        return wall_us

    def is_due(self, partition: int, clock_us: int) -> bool:
        if self._left[partition] == 0:
            self._left[partition] = self.due
            return False
        return True

    async def sweep(self, partition: int, clock_us: int, customers_max: int) -> None:
        self.sizes[partition].add(customers_max)
        self._left[partition] -= 1


class Progress:
    """Lags by topic partition; 0 where nothing is said."""

    def __init__(self, **lags: int | None) -> None:
        names = {"transactions": TRANSACTIONS, "rekeyed": REKEYED}
        self.lags = {TP(names[name], 0): lag for name, lag in lags.items()}

    def lag(self, tp: TP) -> int | None:
        return self.lags.get(tp, 0)

    def caught_up(self, tp: TP) -> bool:
        return self.lag(tp) == 0


class Attempts:
    """What was attempted, when, and by which clock."""

    def __init__(self, clock: Clock, succeed: bool = True) -> None:
        self.clock = clock
        self.succeed = succeed
        self.made: list[tuple[float, int, int]] = []

    async def __call__(self, partition, step, *args) -> bool:
        assert args[0] == partition
        await step(*args)
        self.made.append((round(self.clock.seconds, 6), partition, args[1]))
        return self.succeed

    def times(self, partition: int) -> list[float]:
        return [seconds for seconds, who, _ in self.made if who == partition]


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


async def test_partition_that_is_caught_up_is_swept_by_the_wall_at_every_interval(clock):
    attempts = Attempts(clock)
    await clock.run(Sweeps(SETTINGS, Engine(), Progress(), attempts), 0.5)
    assert attempts.made == [
        (at, partition, WALL_US) for at in (0.0, 0.2, 0.4) for partition in (0, 1)
    ]


@pytest.mark.parametrize("lags", [{"transactions": 100}, {"rekeyed": 1}])
async def test_partition_with_a_slice_to_read_is_swept_as_often_by_its_own_clock(clock, lags):
    attempts = Attempts(clock)
    await clock.run(Sweeps(SETTINGS, Engine(), Progress(**lags), attempts), 0.5)
    assert [clock_us for _, who, clock_us in attempts.made if who == 0] == [CLOCK_US] * 3
    assert [clock_us for _, who, clock_us in attempts.made if who == 1] == [WALL_US] * 3


@pytest.mark.parametrize("lags", [{"transactions": 101}, {"rekeyed": 101}])
async def test_partition_that_is_behind_is_swept_seldom_and_others_as_ever(clock, lags):
    attempts, engine = Attempts(clock), Engine()
    await clock.run(Sweeps(SETTINGS, engine, Progress(**lags), attempts), 2.1 * SECONDS_BEHIND)
    assert engine.sizes == {0: {2_000}, 1: {100}}  # what nobody waits for goes at once
    assert attempts.times(0) == pytest.approx([0.0, SECONDS_BEHIND, 2 * SECONDS_BEHIND], abs=0.21)
    assert len(attempts.times(1)) == 53


async def test_partition_that_comes_up_is_swept_at_once(clock):
    attempts, progress = Attempts(clock), Progress(transactions=5_000)
    some = Sweeps(SETTINGS, Engine(), progress, attempts)
    await clock.run(some, 0.9)
    assert attempts.times(0) == [0.0]
    progress.lags.clear()
    await clock.run(some, clock.seconds + 0.1)
    assert len(attempts.times(0)) == 2


async def test_partition_of_which_the_consumer_knows_no_lag_is_swept(clock):
    attempts = Attempts(clock)
    await clock.run(Sweeps(SETTINGS, Engine(), Progress(transactions=None), attempts), 0.3)
    assert attempts.times(0) == [0.0, 0.2]


async def test_sweep_goes_on_until_nobody_is_due(clock):
    attempts = Attempts(clock)
    await clock.run(Sweeps(SETTINGS, Engine(due=3), Progress(), attempts), 0.1)
    assert attempts.times(0) == [0.0] * 3


async def test_sweep_that_failed_is_left_to_the_next_round(clock):
    attempts = Attempts(clock, succeed=False)
    await clock.run(Sweeps(SETTINGS, Engine(due=3), Progress(), attempts), 0.1)
    assert attempts.times(0) == [0.0]


async def test_partition_that_was_given_up_meanwhile_is_let_go(clock):
    engine = Engine(due=3)
    attempts = Attempts(clock)

    async def give_up(partition, step, *args) -> bool:
        del engine.owned[partition]
        return await attempts(partition, step, *args)

    await clock.run(Sweeps(SETTINGS, engine, Progress(), give_up), 0.5)
    assert attempts.times(0) == attempts.times(1) == [0.0]
