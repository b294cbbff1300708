"""The scorecards, brought back to Redis from Kafka, which has all that any partition ever adopted."""

from __future__ import annotations

from schemas.scorecard import Scorecard
from state.store import Store
from streams.journal import KafkaJournal
from streams.settings import Settings


async def restore_scorecards(store: Store, settings: Settings) -> dict[str, bytes]:
    """Keep those that Redis has lost, name the newest if none is named; all of them by version."""
    journal = KafkaJournal(settings)
    try:
        told = await journal.scorecards()
    finally:
        await journal.close()
    for version, body in told.items():
        await store.save_scorecard(version, body, current=False)
    cards = await store.scorecards()
    if await store.current_scorecard() is None and told:
        newest = max(told, key=lambda version: Scorecard.model_validate_json(told[version]).number)
        if Scorecard.model_validate_json(told[newest]).number:
            await store.save_scorecard(newest, cards[newest], current=True)
    return cards
