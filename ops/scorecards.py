"""The history of scorecards: finding one, comparing two, making one the one in use.

Nothing of the history is ever changed or taken away: a way back is a new scorecard with old numbers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ops.customers import moment
from ops.lookup import scorecards_of
from ops.population import Page
from schemas.errors import ConfigurationError, SourceFileError, shown
from schemas.learning import Learning
from schemas.overrides import Overrides
from schemas.scorecard import Scorecard
from scoring.alive import prob_alive_unchecked
from scoring.business_calendar import BusinessCalendar
from scoring.overriding import overridden
from scoring.segments import Segmenter
from scoring.states import NONE
from state.store import Store
from streams.journal import KafkaJournal
from streams.publisher import Publisher
from streams.scorecards import publish_scorecard
from streams.settings import Settings

CURRENT = "current"
CANDIDATE = "candidate"
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Entry:
    """A scorecard in the history.

    Attributes
    ----------
    card : Scorecard
    in_use : bool
        It is the one that all partitions are to adopt.
    adopted_us : int or None
        When the first partition adopted it, by its own clock; None: none has, `UNKNOWN_US`: it was the
        first.
    partitions : int
        How many are scored by it now.
    """

    card: Scorecard
    in_use: bool
    adopted_us: int | None
    partitions: int

    @property
    def adopted_at(self) -> datetime | None:
        """The moment, if there is one."""
        return None if self.adopted_us is None else moment(self.adopted_us)

    @property
    def used_since(self) -> str:
        """In words; empty if it never was in use."""
        if self.adopted_us is None:
            return ""
        at = self.adopted_at
        return "the beginning" if at is None else f"{at:%Y-%m-%d %H:%M}"


async def history_of_scorecards(store: Store) -> list[Entry]:
    """All scorecards by number."""
    cards = await scorecards_of(store)
    current = await _version_in_use(store, cards)
    partitions = int((await store.installation()).get("partitions", "0"))
    checkpoints = [await store.checkpoint(partition) for partition in range(partitions)]
    adopted: dict[str, int] = {}
    used: list[str] = []
    for checkpoint in checkpoints:
        for moment_us, version in checkpoint.adoptions:
            adopted[version] = min(adopted.get(version, moment_us), moment_us)
        used += [checkpoint.adoptions[-1][1]] if checkpoint.adoptions else []
    return [
        Entry(card, version == current, adopted.get(version), used.count(version))
        for version, card in sorted(cards.items(), key=lambda item: item[1].number)
    ]


async def _version_in_use(store: Store, cards: dict[str, Scorecard]) -> str | None:
    """The one named, or the bootstrap scorecard as long as none is."""
    named = await store.current_scorecard()
    if named is not None:
        return named
    return min(cards, key=lambda version: cards[version].number, default=None)


async def scorecard_in_use(store: Store) -> Scorecard:
    """What customers are scored by.

    Raises
    ------
    ConfigurationError
        Nobody has ever scored anybody here.
    """
    cards = await scorecards_of(store)
    version = await _version_in_use(store, cards)
    if version is None or version not in cards:
        raise ConfigurationError(
            "there is no scorecard in Redis.",
            hint="Start a worker: everscore worker; or, if Redis lost it: everscore rebuild.",
        )
    return cards[version]


async def learning_of(store: Store) -> Learning | None:
    """What the learner knows of the scorecard in use; None if it has not looked at it yet."""
    body = await store.learning()
    if body is None:
        return None
    try:
        learning = Learning.model_validate_json(body)
    except ValidationError:  # of a worker of another release
        return None
    in_use = await _version_in_use(store, await scorecards_of(store))
    return learning if learning.version == in_use else None


async def _shadow(store: Store) -> Scorecard:
    learning = await learning_of(store)
    if learning is None or learning.shadow is None:
        raise ConfigurationError(
            "the learner has no candidate beside the scorecard in use.",
            hint="It tries every EVERSCORE_LEARN_INTERVAL_DAYS of stream time; `everscore fit --out` "
            "learns one now.",
        )
    return learning.shadow.card


async def find_scorecard(store: Store, name: str) -> Scorecard:
    """A scorecard by version, number, `current`, `candidate` (the learner's), or from a file.

    Raises
    ------
    SourceFileError
        The file is no scorecard.
    ConfigurationError
        There is no such version.
    """
    if name.endswith(".json"):
        return read_scorecard(Path(name))
    if name == CURRENT:
        return await scorecard_in_use(store)
    if name == CANDIDATE:
        return await _shadow(store)
    cards = await scorecards_of(store)
    found = [card for version, card in cards.items() if name in (version, str(card.number))]
    if len(found) != 1:
        raise ConfigurationError(
            f"there is no scorecard {shown(name)}.",
            hint="`everscore scorecard ls` lists them; a file ends in .json.",
        )
    return found[0]


def read_scorecard(path: Path) -> Scorecard:
    """A scorecard from a file, as `everscore fit --out` writes it.

    Raises
    ------
    SourceFileError
        It cannot be read, or is no scorecard; names the first field that is wrong.
    """
    try:
        return Scorecard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SourceFileError(
            f"{path} cannot be read: {error.strerror}.", hint="everscore fit --out writes one."
        ) from None
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(map(str, detail["loc"])) or "the file"
        raise SourceFileError(
            f"{path} is no scorecard: {place}: {detail['msg'].removeprefix('Value error, ')}.",
            hint="everscore fit --out writes one.",
        ) from None


class Comparison:
    """How many customers another scorecard would move, from where to where.

    Parameters
    ----------
    one, other : Scorecard
    calendar : BusinessCalendar
    names : (str, str), optional
        What to call them; a candidate's version is not its own yet.

    Attributes
    ----------
    matrix : int64, shape (segments of one, segments of other)
    """

    def __init__(
        self,
        one: Scorecard,
        other: Scorecard,
        calendar: BusinessCalendar,
        names: tuple[str, str] | None = None,
    ) -> None:
        self.one, self.other = one, other
        self.names = names or (one.version, other.version)
        self._calendar = calendar
        self._segmenters = Segmenter(one), Segmenter(other)
        self.matrix = np.zeros((len(one.segments), len(other.segments)), dtype=np.int64)

    def add(self, page: Page) -> None:
        """Count a page.

        Who is in a segment of the first scorecard leaves it as a worker would let them: past the border
        and the hysteresis beyond it. Where nothing is known, the nearest counts.
        """
        before = self._segments(
            0, page, _indices(page.segments, self.one.segments, len(page.ranks))
        )
        identities = np.array(self.one.identities, dtype=object)[before]
        after = self._segments(1, page, _indices(identities, self.other.identities, len(before)))
        np.add.at(self.matrix, (before, after), 1)

    def _segments(self, which: int, page: Page, current: NDArray[np.int64]) -> NDArray[np.int64]:
        card, segmenter, customers = (
            (self.one, self.other)[which],
            self._segmenters[which],
            page.customers,
        )
        spans = customers.spans(page.now_us, self._calendar)
        alive = prob_alive_unchecked(customers.frequency, *spans, card.alive)
        z = segmenter.features(alive, customers.frequency, customers.monetary_value)
        return segmenter.assign(z, current)

    @property
    def customers(self) -> int:
        """Compared."""
        return int(self.matrix.sum())

    @property
    def changed(self) -> int:
        """Who would be in a segment of another name."""
        same = [
            self.matrix[row, self.other.segments.index(name)]
            for row, name in enumerate(self.one.segments)
            if name in self.other.segments
        ]
        return self.customers - int(sum(same))


def _indices(
    names: NDArray[np.object_] | None, segments: tuple[str, ...], count: int
) -> NDArray[np.int64]:
    """Where names stand among segments; `NONE` for those that do not."""
    if names is None:
        return np.full(count, NONE, dtype=np.int64)
    index = {name: position for position, name in enumerate(segments)}
    return np.array([index.get(name, NONE) for name in names.tolist()], dtype=np.int64)


async def put_in_use(store: Store, settings: Settings, card: Scorecard) -> Scorecard:
    """Publish a scorecard under the next number; returns it as published.

    Raises
    ------
    ConfigurationError, BrokerUnavailableError, StoreUnavailableError
        Kafka or Redis refuse us, or do not answer.
    """
    journal, publisher = KafkaJournal(settings), Publisher(settings)
    try:
        return await publish_scorecard(card, store, journal, publisher, settings)
    finally:
        await publisher.stop()
        await journal.close()


def restoring(card: Scorecard) -> Scorecard:
    """A scorecard that brings back the numbers of another."""
    return card.model_copy(update={"restores": card.version})


def as_wanted(card: Scorecard, overrides: Overrides, *, known: bool) -> Scorecard:
    """What a promotion puts into use: the scorecard as the operator wants it now.

    Parameters
    ----------
    card : Scorecard
    overrides : Overrides
    known : bool
        It is in the history: unless the operator wants it otherwise, this is a way back to it.
    """
    wanted = overridden(card, overrides)
    if wanted != card:
        return wanted.model_copy(update={"restores": None})
    return restoring(card) if known else card


async def adopted_by(store: Store, version: str, wait_seconds: float) -> tuple[int, int]:
    """How many of how many partitions have adopted a scorecard, within some time."""
    partitions = int((await store.installation()).get("partitions", "0"))
    clock = asyncio.get_running_loop().time
    until = clock() + wait_seconds
    while True:
        checkpoints = [await store.checkpoint(partition) for partition in range(partitions)]
        done = sum(
            any(adopted == version for _, adopted in checkpoint.adoptions)
            for checkpoint in checkpoints
        )
        if done == partitions or clock() >= until:
            return done, partitions
        await asyncio.sleep(_POLL_SECONDS)
