"""Everything that it takes to forget a customer, in order, and the receipt.

The worker that owns the customer's partition does the forgetting; here it is asked for, waited for
and looked into. Dead letters are no worker's business: they are deleted here.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError

from ops.change_feed import open_consumer, records_to_end
from ops.customers import moment
from ops.kafka_admin import open_admin
from ops.lookup import partition_count
from schemas.erasure import customers_named, erasure_headers, tombstone_name
from schemas.errors import InvalidTransactionError, NotYetErasedError, shown
from schemas.transaction import is_customer_id
from state.store import Store, Tombstone
from streams.connections import kafka_access
from streams.homes import home_partition
from streams.kafka_refusals import kafka_error
from streams.publisher import open_producer
from streams.settings import Settings

_POLL_SECONDS = 0.05
_OUTBOX_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was done to forget a customer.

    Attributes
    ----------
    customer_id : str
    record : str
        Where the erasure stands in the log: topic, partition and offset.
    was_known : bool
        Whether Redis held a state.
    changes : int
        How many changes were ever told of the customer, those of the erasure among them.
    erased_until : datetime
        What occurred until then never counts again.
    tombstone : str
        Name under which that is kept.
    letters_deleted, letters_rewritten : int
        Dead letters of the customer, and others that had to be written anew for it.
    """

    customer_id: str
    record: str
    was_known: bool
    changes: int
    erased_until: datetime | None
    tombstone: str
    letters_deleted: int
    letters_rewritten: int


async def erase_customer(
    store: Store, settings: Settings, customer_id: str, wait_seconds: float
) -> Receipt:
    """Ask for an erasure, wait until it is done, and delete the dead letters.

    Raises
    ------
    InvalidTransactionError
        The id cannot be one.
    NotYetErasedError
        No worker has come to it in time: it stands in the log, and will be done.
    ConfigurationError, BrokerUnavailableError, StoreUnavailableError
    """
    if not is_customer_id(customer_id):
        raise InvalidTransactionError(f"{shown(customer_id)} is not a customer id")
    partition = home_partition(customer_id, await partition_count(store))
    (state,) = await store.load_many(partition, [customer_id])
    offset = await _publish(settings, customer_id, partition)
    record = f"{settings.transactions_topic} {partition}:{offset}"
    try:
        async with asyncio.timeout(wait_seconds):
            tombstone = await _forgotten(store, settings, customer_id, partition, offset)
    except TimeoutError:
        raise NotYetErasedError(
            f"the erasure of customer {shown(customer_id)} stands at {record}, and no worker has "
            f"come to it in {wait_seconds:g} s.",
            hint="It will be done as soon as one does; ask again then, for the dead letters.",
        ) from None
    deleted, rewritten = await _delete_letters(settings, customer_id)
    return Receipt(
        customer_id=customer_id,
        record=record,
        was_known=state is not None,
        changes=tombstone.sequence,
        erased_until=moment(tombstone.until_us),
        tombstone=tombstone_name(customer_id),
        letters_deleted=deleted,
        letters_rewritten=rewritten,
    )


async def _publish(settings: Settings, customer_id: str, partition: int) -> int:
    """Offset of the record."""
    topic = settings.transactions_topic
    producer = await open_producer(settings, linger_ms=0, topics=[topic])
    try:
        written = await producer.send_and_wait(
            topic,
            key=customer_id.encode(),
            partition=partition,
            headers=erasure_headers(),
            timestamp_ms=time.time_ns() // 1_000_000,
        )
    except KafkaError as error:
        raise kafka_error(settings, error, "did not take the erasure") from error
    finally:
        await producer.stop()
    return int(written.offset)


async def _forgotten(
    store: Store, settings: Settings, customer_id: str, partition: int, offset: int
) -> Tombstone:
    """Wait for the worker that forgets, and until its outbox names the customer no more."""
    topic = settings.transactions_topic
    while (await store.checkpoint(partition)).next_offsets.get(topic, 0) <= offset:
        await asyncio.sleep(_POLL_SECONDS)
    last = ""
    while entries := await store.outbox(partition, last, _OUTBOX_PAGE):
        last = entries[-1][0]
    while waiting := await store.outbox(partition, "", 1):
        if not last or _place(waiting[0][0]) > _place(last):
            break
        await asyncio.sleep(_POLL_SECONDS)
    return (await store.tombstones(partition))[tombstone_name(customer_id)]


def _place(entry: str) -> tuple[int, int]:
    milliseconds, _, counter = entry.partition("-")
    return int(milliseconds), int(counter)


async def _delete_letters(settings: Settings, customer_id: str) -> tuple[int, int]:
    """Delete dead letters of a customer; how many, and how many others were written anew.

    Kafka deletes a partition's records only up to an offset. So where the customer has a dead
    letter, the others there are written again, at the end, before all up to there is deleted: one may be
    seen twice, none is lost.
    """
    topic = settings.dead_letter_topic
    async with open_consumer(settings, topic) as (consumer, partitions):
        theirs: dict[TopicPartition, int] = {}
        async for record in records_to_end(consumer, partitions):
            if customer_id in customers_named(record.key, record.value):
                tp = TopicPartition(topic, record.partition)
                theirs[tp] = theirs.get(tp, 0) + 1
        if not theirs:
            return 0, 0
        ends = await consumer.end_offsets(list(theirs))
        rewritten = 0
        producer = await open_producer(settings, linger_ms=0, topics=[topic])
        try:
            async for record in records_to_end(consumer, list(ends)):
                tp = TopicPartition(topic, record.partition)
                if record.offset >= ends.get(tp, 0):  # written since, perhaps by us
                    continue
                if customer_id not in customers_named(record.key, record.value):
                    await producer.send_and_wait(
                        topic,
                        key=record.key,
                        value=record.value,
                        headers=list(record.headers),
                        partition=record.partition,
                        timestamp_ms=record.timestamp,
                    )
                    rewritten += 1
            async with open_admin(settings.kafka, kafka_access(settings)) as admin:
                await admin.delete_records(
                    {tp: RecordsToDelete(before_offset=end) for tp, end in ends.items()}
                )
        except KafkaError as error:
            raise kafka_error(settings, error, "did not delete dead letters") from error
        finally:
            await producer.stop()
    return sum(theirs.values()), rewritten
