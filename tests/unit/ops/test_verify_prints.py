"""Fingerprints: of a change as it is rendered and as it lies in the log the same, of another never."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from ops.verify.prints import distinct, lacking, print_of
from ops.verify.replay_engine import Counted, ReplayEngine
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.change_events import render
from streams.messages import told_messages
from streams.settings import Settings
from streams.tails import ChangeTails, fingerprints_of
from tests.support.purchases import LogRecord, cdnow_of

SETTINGS = Settings(_env_file=None)


@pytest.fixture(scope="module")
def counted() -> Counted:
    """One slice of one partition, with changes of all kinds of customers."""
    heard: list[Counted] = []

    async def count() -> None:
        engine = ReplayEngine(SETTINGS, 1, [], heard.append)
        card = bootstrap_scorecard()
        await engine.store.save_scorecard(
            card.version, card.model_dump_json().encode(), current=False
        )
        await engine.acquire(0)
        records = [LogRecord(at, p.value) for at, p in enumerate(cdnow_of(300))]
        await engine.process(SETTINGS.transactions_topic, 0, records)

    asyncio.run(count())
    return heard[0]


def test_prints_of_rendered_changes_are_those_of_their_messages(counted):
    advanced = counted.advanced
    told = render(
        advanced.changes, advanced.states.customer_ids, SETTINGS.input_topics, 0, BusinessCalendar()
    )
    messages = told_messages(told, range(len(told)), SETTINGS)
    prints = fingerprints_of(ChangeTails(SETTINGS.source).of(told))
    assert len(prints) > 300
    assert prints.tolist() == [print_of(message) for message in messages]
    assert len(distinct(prints)) == len(prints)


def test_distinct_prints_are_each_once_and_ascend():
    assert distinct(np.array([3, -1, 3, 2, -1])).tolist() == [-1, 2, 3]
    assert distinct(np.zeros(0, dtype=np.int64)).tolist() == []


def test_lacking_prints_are_those_that_are_nowhere_else():
    wanted = np.array([5, 1, 9, 5])
    assert lacking(wanted, np.array([9, 1, 1])).tolist() == [True, False, False, True]
    assert lacking(wanted, np.zeros(0, dtype=np.int64)).all()
