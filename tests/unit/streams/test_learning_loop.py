"""The worker's loop around the learner: what is published, in which order, and what is left behind."""

from __future__ import annotations

import asyncio

import pytest

from schemas.learning import Learning
from schemas.scorecard import Origin, Scorecard
from scoring.bootstrap import bootstrap_scorecard
from state.memory_store import MemoryStore
from streams import worker as module
from streams.learner import Attempt
from streams.settings import Settings
from streams.worker import ScoringWorker
from tests.support.purchases import Run, cdnow_of

PROMOTED = bootstrap_scorecard().model_copy(update={"number": 1, "origin": Origin.FITTED})


class Recorder(MemoryStore):
    """Remembers in which order it was written to, and Kafka."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []
        self.told: dict[str, bytes] = {}

    async def save_scorecard(self, version, body, *, current):
        self.steps.append(f"redis {'names' if current else 'has'} {version}")
        await super().save_scorecard(version, body, current=current)

    async def save_learning(self, body):
        self.steps.append(f"learning of {Learning.model_validate_json(body).version}")
        await super().save_learning(body)

    async def publish(self, outgoing):
        for one in outgoing:
            self.steps.append(f"kafka has {one.key.decode()}")
            self.told[one.key.decode()] = one.value


class Scripted:
    """A learner that has made up its mind."""

    def __init__(self, *attempts: Attempt | None) -> None:
        self.attempts = list(attempts)
        self.asked: list[str] = []
        self.resumed: list[bytes | None] = []
        self.done = asyncio.Event()

    def resume(self, kept: bytes | None) -> None:
        self.resumed.append(kept)

    async def attempt(self, current: Scorecard) -> Attempt | None:
        if not self.attempts:
            self.done.set()
            return None
        self.asked.append(current.version)
        return self.attempts.pop(0)


def attempt(version: str, promoted: Scorecard | None = None) -> Attempt:
    return Attempt(Learning(version=version, customers=7), promoted, ("so it is",))


async def looped(learner: Scripted, store: Recorder) -> ScoringWorker:
    """A worker that learns, until its learner has nothing more to say."""
    run = await Run(1, Settings(_env_file=None), store).start()
    await run.feed(cdnow_of(3), 50)
    store.steps.clear()
    worker = ScoringWorker(store, run.settings)
    worker.engine, worker.learner, worker.learns = run.engine, learner, True

    class Journal:
        async def scorecards(self):
            return dict(store.told)

    worker.journal, worker.publisher = Journal(), store
    worker.ready.set()
    task = asyncio.create_task(worker.learn_forever())
    await asyncio.wait_for(learner.done.wait(), 10)
    task.cancel()
    return worker


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(module, "_LESSON_POLL_SECONDS", 0.0)


async def test_promoted_candidate_is_in_kafka_before_it_is_named_and_only_then_told_of():
    store = Recorder()
    learner = Scripted(attempt("bootstrap-0", PROMOTED), attempt("fitted-1"))
    await looped(learner, store)
    assert store.steps == [
        "redis has fitted-1",
        "kafka has fitted-1",
        "redis names fitted-1",
        "learning of bootstrap-0",
        "learning of fitted-1",
    ]
    assert learner.asked == ["bootstrap-0", "fitted-1"]


async def test_shadow_is_told_of_and_not_published():
    store = Recorder()
    await looped(Scripted(attempt("bootstrap-0"), None), store)
    assert store.steps == ["learning of bootstrap-0"]
    assert store.told == {}


async def test_worker_that_begins_to_learn_takes_over_what_was_left():
    store = Recorder()
    await store.save_learning(Learning(version="fitted-9", customers=1).model_dump_json().encode())
    learner = Scripted(None, None)
    await looped(learner, store)
    assert learner.resumed == [await store.learning()]


async def test_worker_that_does_not_learn_leaves_all_alone():
    store = Recorder()
    learner = Scripted(attempt("bootstrap-0", PROMOTED))
    run = await Run(1, Settings(_env_file=None), store).start()
    worker = ScoringWorker(store, run.settings)
    worker.engine, worker.learner, worker.learns = run.engine, learner, False
    worker.ready.set()
    task = asyncio.create_task(worker.learn_forever())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    assert (learner.asked, learner.resumed) == ([], [])
