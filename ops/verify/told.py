"""What a partition has to say to the world, in detail: each change by its id and the digest of its body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from schemas.dead_letter import DeadLetter
from state.outbox import Message
from streams.settings import Settings

Place = tuple[int, int]


@dataclass(slots=True)
class Told:
    """What was told, or is to be.

    Attributes
    ----------
    changes : dict of ce_id to digest of the body
    sequences : dict of customer to ce_ids of the changes, the first first
    """

    changes: dict[str, bytes] = field(default_factory=dict)
    sequences: dict[str, list[str]] = field(default_factory=dict)

    def hear(self, messages: Sequence[Message], settings: Settings) -> Told:
        """Note the messages of one slice."""
        for message in messages:
            if message.topic == settings.changes_topic:
                change_id = (dict(message.headers)["ce_id"] or b"").decode()
                self.changes[change_id] = digest(message.value)
                customer_id = (message.key or b"").decode()
                self.sequences.setdefault(customer_id, []).append(change_id)
        return self


def letters_in(messages: Sequence[Message], settings: Settings) -> set[Place]:
    """Where the records stand that are dead-lettered here."""
    letters = (
        DeadLetter.from_headers(message.headers)
        for message in messages
        if message.topic == settings.dead_letter_topic
    )
    return {(settings.input_topics.index(letter.topic), letter.offset) for letter in letters}


def digest(body: bytes | None) -> bytes:
    """Eight bytes that stand for a body: a partition can have more changes than memory for them."""
    return blake2b(body or b"", digest_size=8).digest()
