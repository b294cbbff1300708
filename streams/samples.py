"""The sample of known customers that the learner learns from.

Learning must not see events only: at an event silence is zero. So each partition reports those of its
customers whose rank (a hash of the id) is among the lowest of all, whenever they change; the learner
keeps the lowest `sample_customers_max` and evaluates them all at one moment.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from scoring.review import monetary_value
from scoring.states import States
from state.outbox import Message
from state.store import Checkpoint
from streams.settings import Settings

# How much lower than the expected cut a rank must lie to be left out: the cut is estimated from one
# partition's count, which errs by about 1/sqrt(sample per partition). 1.5 is five sigma at 100.
_SAFETY = 1.5

SAMPLES_PARTITION = 0  # one learner: the worker that owns this partition of the samples topic


_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # what is kept as int64


class Sample(NamedTuple):
    """One customer as the learner needs them; days since 1970-01-01, major units."""

    customer_id: str
    rank: float
    frequency: _Whole
    first_day: _Whole
    last_day: _Whole
    monetary_value: float
    clock_us: _Whole


encode_sample = msgspec.json.Encoder().encode
decode_sample = msgspec.json.Decoder(Sample).decode


def forgotten(customer_id: str, settings: Settings) -> Message:
    """That a customer was erased: the topic, which is compacted, and the learner forget the report."""
    return Message(
        topic=settings.samples_topic,
        key=customer_id.encode(),
        value=None,
        headers=[],
        partition=SAMPLES_PARTITION,
    )


def sample_messages(
    states: States, checkpoint: Checkpoint, settings: Settings, partitions: int
) -> list[Message]:
    """Reports of the customers that may belong to the sample."""
    known = max(checkpoint.customers, 1) * partitions
    cut = _SAFETY * settings.sample_customers_max / known
    numbers = states.numbers
    rows = np.flatnonzero((numbers["sample_rank"] < cut) & (numbers["frequency"] >= 0))
    if not len(rows):
        return []
    # As tuples and in order: a name for every field would cost as much again as the rest.
    columns = (
        numbers["sample_rank"],
        numbers["frequency"],
        numbers["first_day"],
        numbers["last_day"],
        monetary_value(numbers),
    )
    ids = [states.customer_ids[row] for row in rows.tolist()]
    topic, clock_us = settings.samples_topic, checkpoint.clock_us
    return [
        Message(
            topic, sample[0].encode(), encode_sample((*sample, clock_us)), [], SAMPLES_PARTITION
        )
        for sample in zip(ids, *(column[rows].tolist() for column in columns), strict=True)
    ]
