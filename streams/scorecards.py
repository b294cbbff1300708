"""Publishing a scorecard, for workers that learnt one and for people who promote one.

Owns its number, which is never given twice, and the order: Redis reserves the number, Kafka has the
scorecard for good, and only then is it named the one in use, so that no partition can adopt what could
be lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from schemas.scorecard import Scorecard
from state.outbox import Outgoing
from state.store import Store
from streams.holdings import Journal
from streams.messages import scorecard_message
from streams.settings import Settings


class Publishes(Protocol):
    """What is needed of `streams.publisher.Publisher`."""

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Send and wait for all acknowledgements."""


async def publish_scorecard(
    card: Scorecard, store: Store, journal: Journal, publisher: Publishes, settings: Settings
) -> Scorecard:
    """Give a scorecard the next number, keep it, and make it the one that all partitions adopt.

    Parameters
    ----------
    card : Scorecard
        Its own number is the lowest it can get.
    store : Store
    journal : Journal
        Where to read which scorecards Kafka has: a number is not given again where Redis has lost it,
        since workers may still score by it.
    publisher : Publishes
    settings : Settings

    Returns
    -------
    Scorecard
        As it was published.
    """
    told = await journal.scorecards()
    while True:
        taken = _numbers(told | await store.scorecards())
        card = card.model_copy(update={"number": max([card.number - 1, *taken.values()]) + 1})
        version, body = card.version, card.model_dump_json().encode()
        await store.save_scorecard(version, body, current=False)
        held = await store.scorecards()
        same_number = [one for one, number in _numbers(held).items() if number == card.number]
        if same_number in ([], [version]) and held.get(version, body) == body:
            break  # else somebody else took the number at the same time
    await publisher.publish([scorecard_message(card, settings)])
    in_use = await store.current_scorecard()
    if _numbers(await store.scorecards()).get(in_use or "", -1) < card.number:
        await store.save_scorecard(version, body, current=True)
    return card


def _numbers(bodies: Mapping[str, bytes]) -> dict[str, int]:
    return {version: Scorecard.model_validate_json(body).number for version, body in bodies.items()}
