"""Malformed records among good ones, through Kafka, a worker process and Redis: the sum is exact."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from schemas.dead_letter import DeadLetter
from streams.homes import home_partition
from tests.support.decoder_fuzz import MESSAGE_CHARS_MAX
from tests.support.hostile_producer import Sent, send_all
from tests.support.installation import Installation
from tests.support.ledger_oracle import Customer, customers_after
from tests.support.services import Services
from tests.support.transaction_oracle import Counted, Dead

pytestmark = pytest.mark.integration

SEED = int(os.environ.get("FUZZ_SEED", "4"))
RECORDS = int(os.environ.get("FUZZ_RECORDS", "3000"))
SECONDS = 60 + RECORDS / 50  # given up after; a thousand records take a second or two
# What no installation of ours is set up to take, and another one may be.
AS_LAX_AS_CAN_BE = {
    "max.message.bytes": str(64 * 1024 * 1024),
    "message.timestamp.after.max.ms": str(2**63 - 1),
    "message.timestamp.before.max.ms": str(2**63 - 1),
}


async def test_every_record_is_counted_or_dead_lettered_once_and_the_sum_is_exact(
    services: Services, tmp_path: Path
) -> None:
    services.needs_real_kafka("keeps 5 MB of a partition")
    async with Installation(services, tmp_path) as here:
        relax(services, here.settings.transactions_topic, here.settings.rekeyed_topic)
        worker = here.start_worker()
        began = time.monotonic()
        sent = await send_all(here.settings, SEED, RECORDS, here.partitions)
        counted = [entry for entry in sent if isinstance(entry.said, Counted)]
        dead = [entry for entry in sent if isinstance(entry.said, Dead)]
        assert len(sent) > 0.98 * RECORDS  # a broker may refuse some timestamps
        assert min(len(counted), len(dead)) > 0.3 * RECORDS

        customers, applied, duplicates = customers_after(in_order_of_reading(counted))
        progress = await here.until(
            lambda p: p.read == len(sent) and p.applied + p.duplicates + p.dead == len(sent),
            SECONDS,
        )
        seconds = time.monotonic() - began
        assert (progress.applied, progress.duplicates) == (applied, duplicates)
        assert progress.dead == len(dead)
        assert progress.customers == len(customers)
        assert progress.forwarded == sum(is_foreign(entry, here.partitions) for entry in counted)
        assert worker.poll() is None, worker.log.read_text()

        await here.settled(SECONDS)
        check_customers(await here.hashes(), customers)
        check_dead_letters(await here.records(here.settings.dead_letter_topic), dead)
        verified = await here.run("verify", seconds=SECONDS)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert worker.poll() is None, worker.log.read_text()
        sys.stdout.write(
            f"\nseed {SEED}, {len(sent):,} records: {applied:,} counted, {duplicates:,} duplicates, "
            f"{progress.forwarded:,} forwarded, {len(dead):,} dead; {len(customers):,} customers, "
            f"the sum exact; {seconds:.1f} s\n"
        )


def relax(services: Services, *topics: str) -> None:
    """Let topics take all that Kafka can."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in AS_LAX_AS_CAN_BE.items()
    ]
    resources = [
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries) for topic in topics
    ]
    admin = AdminClient(services.client())
    for done in admin.incremental_alter_configs(resources).values():
        done.result(30)


def in_order_of_reading(counted: list[Sent]) -> Iterable[Counted]:
    """Any order that keeps each partition's: those that share an id share a partition."""
    for entry in sorted(counted, key=lambda entry: (entry.partition, entry.offset)):
        assert isinstance(entry.said, Counted)
        yield entry.said


def is_foreign(entry: Sent, partitions: int) -> bool:
    assert isinstance(entry.said, Counted)
    return home_partition(entry.said.customer_id, partitions) != entry.partition


def check_customers(found: dict[str, dict[str, bytes]], expected: dict[str, Customer]) -> None:
    """Every customer's money and days, and the sum over all."""
    assert found.keys() == expected.keys()
    net = Decimal(0)
    for customer_id, fields in found.items():
        customer, days = expected[customer_id], expected[customer_id].purchase_days
        held = {name: Decimal(fields[name].decode()) for name in ("monetary_total", "refund_total")}
        assert held["monetary_total"] * 10_000 == customer.purchases, customer_id
        assert held["refund_total"] * 10_000 == customer.refunds, customer_id
        assert int(fields["frequency"]) == max(len(days) - 1, 0), customer_id
        assert int(fields["t_x_days"]) == (days[-1] - days[0] if days else 0), customer_id
        net += held["monetary_total"] - held["refund_total"]
    total = sum(customer.purchases - customer.refunds for customer in expected.values())
    assert net * 10_000 == total


def check_dead_letters(letters: list[Any], dead: list[Sent]) -> None:
    """One letter for each, with all the record had, and a reason."""
    expected = {(entry.partition, entry.offset): entry for entry in dead}
    for record in letters:
        letter = DeadLetter.from_headers(record.headers)
        entry = expected.pop((letter.partition, letter.offset))  # KeyError: told twice, or not dead
        assert record.value == entry.value, entry.number
        assert record.key == entry.key, entry.number
        assert list(record.headers[:-5]) == list(entry.headers), entry.number
        assert list(record.headers[-5:]) == letter.headers(), entry.number
        assert 0 < len(letter.message) <= MESSAGE_CHARS_MAX, entry.number
        assert letter.message.isprintable(), entry.number
        assert letter.error_class.endswith("Error"), entry.number
    assert not expected
