"""Fingerprints of changes: 64 bits for all that a change event says, body, id and headers.

Owns the quick answer to "was told exactly what the log leads to?". Where it is no, `ops.verify.published`
finds out what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.verify.log import LogReader
from ops.verify.replay_engine import Counted
from ops.verify.told import Place, letters_in
from scoring.business_calendar import BusinessCalendar
from scoring.change_events import render
from state.outbox import Message
from streams.settings import Settings
from streams.tails import ChangeTails, PrintArray, fingerprint, fingerprints_of, tail_of

_NO_PRINTS = np.zeros(0, dtype=np.int64)
_NO_ROWS = np.zeros(0, dtype=np.intp)


def print_of(message: Message) -> int:
    """Of one change event."""
    return fingerprint(tail_of(message.key, message.value, message.headers))


class Expected:
    """What a replay says must have been told.

    Parameters
    ----------
    settings : Settings
    partition : int

    Attributes
    ----------
    letters : set of (index of the input topic, offset)
    """

    def __init__(self, settings: Settings, partition: int) -> None:
        self._settings = settings
        self._partition = partition
        self._calendar = BusinessCalendar(settings.timezone)
        self._tails = ChangeTails(settings.source)
        self._prints: list[PrintArray] = []
        self._rows: list[NDArray[np.intp]] = []
        self._sequences: list[NDArray[np.int64]] = []
        self._detours: list[int] = []
        self.letters: set[Place] = set()

    @property
    def detours(self) -> PrintArray:
        """Fingerprints of the records that had to be sent to their home partition."""
        return np.array(self._detours, dtype=np.int64)

    def hear(self, counted: Counted) -> None:
        """Note one slice."""
        self.letters |= letters_in(counted.messages, self._settings)
        self._detours += [
            print_of(message)
            for message in counted.messages
            if message.topic == self._settings.rekeyed_topic
        ]
        changes = counted.advanced.changes
        if not changes.blocks:
            return
        told = render(
            changes,
            counted.advanced.states.customer_ids,
            self._settings.input_topics,
            self._partition,
            self._calendar,
        )
        self._prints.append(fingerprints_of(self._tails.of(told)))
        self._rows.append(counted.rows[np.concatenate([block.rows for block in changes.blocks])])
        self._sequences.append(told.sequences)

    def is_told(
        self, found: Found, waiting: Sequence[Message], committed: Callable[[], Sequence[int]]
    ) -> bool:
        """Whether every change was told, and nothing else.

        Parameters
        ----------
        found : as the topic has it
        waiting : of what still is in the outbox
        committed : callable
            How far each customer, by row, has come; what comes later no sweep has committed yet.
        """
        if lacking(found.early, self._all()).any():
            return False
        untold, rows, sequences = self.untold(found, waiting)
        if not len(untold) or found.gone:
            return True
        return bool((sequences > np.array(committed())[rows]).all())

    def untold(
        self, found: Found, waiting: Sequence[Message]
    ) -> tuple[PrintArray, NDArray[np.intp], NDArray[np.int64]]:
        """Changes that are neither in the topic nor in the outbox.

        Returns
        -------
        fingerprints, customers by row, and numbers of the changes
        """
        prints = self._all()
        there = [found.early, found.late]
        there.append(np.array([print_of(message) for message in waiting], dtype=np.int64))
        untold = lacking(prints, np.concatenate(there))
        rows = np.concatenate([_NO_ROWS, *self._rows])
        return prints[untold], rows[untold], np.concatenate([_NO_PRINTS, *self._sequences])[untold]

    def last_told(self, found: Found, customers: int) -> NDArray[np.int64]:
        """Number of each customer's last change that the topic holds, by row; 0 where it holds none."""
        told = ~lacking(self._all(), np.concatenate([found.early, found.late]))
        last = np.zeros(customers, dtype=np.int64)
        rows = np.concatenate([_NO_ROWS, *self._rows])
        sequences = np.concatenate([_NO_PRINTS, *self._sequences])
        np.maximum.at(last, rows[told], sequences[told])
        return last

    def _all(self) -> PrintArray:
        return np.concatenate([_NO_PRINTS, *self._prints])


@dataclass(frozen=True, slots=True)
class Found:
    """Fingerprints of the changes that a partition of the topic holds.

    Attributes
    ----------
    early, late : int64
        Told before the comparison began; since.
    count : int
        How many different ones.
    gone : int
        Records that the topic no longer holds.
    """

    early: PrintArray
    late: PrintArray
    count: int
    gone: int


async def read_prints(
    log: LogReader, settings: Settings, partitions: Sequence[int], early_to: Mapping[int, int]
) -> Found:
    """Read some partitions of the changes topic; what lies before `early_to` was told early."""
    early, late, gone = [_NO_PRINTS], [_NO_PRINTS], 0
    for partition in partitions:
        spans = await log.bounds(settings.changes_topic, [partition])
        gone += spans[partition][0]
        async for batch in log.read_whole(settings.changes_topic, spans):
            (early if batch.offset < early_to[partition] else late).append(batch.fingerprints())
    told, since = distinct(np.concatenate(early)), distinct(np.concatenate(late))
    return Found(told, since, len(told) + int(lacking(since, told).sum()), gone)


def distinct(prints: PrintArray) -> PrintArray:
    """Each once, ascending; by sorting, which numpy's own `unique` no longer does, at a tenth of its cost."""
    ordered = np.sort(prints)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered


def lacking(wanted: PrintArray, there: PrintArray) -> NDArray[np.bool_]:
    """Which are not there."""
    ordered = np.sort(there)
    if not len(ordered):
        return np.ones(len(wanted), dtype=np.bool_)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    missing: NDArray[np.bool_] = ordered[at] != wanted
    return missing
