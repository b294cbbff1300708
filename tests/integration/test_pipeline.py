"""Real worker processes between a Kafka broker and a Redis server."""

import asyncio
import json

import pytest
from confluent_kafka import Producer

from ops.change_feed import change_of
from schemas.dead_letter import DeadLetter
from streams.settings import Settings
from tests.support.access import open_async_redis
from tests.support.installation import Installation
from tests.support.purchases import Run, cdnow_of

pytestmark = pytest.mark.integration

# A scorecard learnt in the middle of the run would depend on timing: these tests keep the first one.
NEVER_LEARN = {"first_fit_customers": 10**9}
RFM = (
    "frequency",
    "t_x_days",
    "first_purchase_at",
    "last_purchase_at",
    "monetary_value",
    "monetary_total",
    "refund_total",
)


def transaction(number, customer_id="good", **fields):
    return json.dumps(
        {
            "transaction_id": f"t-{number}",
            "customer_id": customer_id,
            "occurred_at": "2026-01-05T10:00:00+01:00",
            "amount": 10.5,
        }
        | fields
    ).encode()


async def test_bad_records_are_dead_lettered_with_bytes_and_reason_and_good_ones_counted(
    services, tmp_path
):
    bad = {
        "malformed": (b'{"transaction_id": "x", ', "is not JSON"),
        "currency": (transaction("c", currency="EUR"), "'EUR'"),
        "year 9999": (transaction("y", occurred_at="9999-12-31T00:00:00Z"), "9999"),
        "NaN": (transaction("n", amount=float("nan")), "JSON has no NaN"),
        "8 MB": (transaction("b", channel="x" * 8_000_000), "larger than the limit"),
        "customer id": (transaction("i", customer_id="a\n{b}"), "a\\n{b}"),
    }
    # Compressed, since the in-memory broker keeps 5 MB of a partition as they came over the wire.
    async with Installation(services, tmp_path, compression="gzip", **NEVER_LEARN) as here:
        here.start_worker()
        values = []
        for number, (value, _) in enumerate(bad.values()):
            values += [(transaction(number), "good"), (value, f"key-{number}")]
        await here.produce(values)
        progress = await here.until(lambda p: p.read == len(values))
        assert progress.dead == len(bad)
        await here.settled()
        fields = (await here.hashes())["good"]
        # All good ones fall on one day: one purchase day, no repeat, the sum of all.
        assert fields["frequency"] == b"0"
        assert fields["monetary_total"] == b"63.0000"
        letters = {
            record.value: record for record in await here.records(here.settings.dead_letter_topic)
        }
        for number, (name, (value, reason)) in enumerate(bad.items()):
            record = letters[value]
            letter = DeadLetter.from_headers(record.headers)
            assert reason in letter.message, name
            assert record.key == f"key-{number}".encode()
            assert letter.topic == here.settings.transactions_topic

        listed = await here.run("dlq", "ls", "--json")
        assert listed.returncode == 0, listed.stderr
        rows = [json.loads(line) for line in listed.stdout.splitlines()]
        wrong = next(row for row in rows if row["error_class"] == "WrongCurrencyError")
        mended = tmp_path / "mended.json"
        mended.write_bytes(transaction("mended", currency="USD"))
        requeued = await here.run("dlq", "requeue", wrong["at"], "--value", str(mended))
        assert requeued.returncode == 0, requeued.stderr
        await here.until(lambda p: p.applied == len(bad) + 1)
        assert (await here.hashes())["good"]["monetary_total"] == b"73.5000"


async def test_records_of_any_partitioner_or_no_key_give_the_same_states(services, tmp_path):
    purchases = cdnow_of(400)
    plain = await Run(4, Settings(**NEVER_LEARN)).start()
    await plain.feed(purchases, 500)
    async with Installation(services, tmp_path, **NEVER_LEARN) as here:
        here.start_worker()
        topic = here.settings.transactions_topic
        crc32 = Producer(services.client())  # its default partitioner
        await here.produce([(p.value, p.customer_id) for p in purchases[0::3]])
        for purchase in purchases[1::3]:
            crc32.produce(topic, value=purchase.value, key=purchase.customer_id)
        for purchase in purchases[2::3]:
            crc32.produce(topic, value=purchase.value)
        assert await asyncio.to_thread(crc32.flush, 30) == 0
        progress = await here.until(lambda p: p.applied == len(purchases))
        assert progress.forwarded > len(purchases) / 3
        assert progress.duplicates == 0
        found, expected = await here.hashes(), plain.hashes()
        assert found.keys() == expected.keys()
        for customer_id, fields in expected.items():
            assert {name: found[customer_id][name] for name in RFM} == {
                name: fields[name] for name in RFM
            }


async def test_records_of_an_aborted_transaction_are_not_counted_and_committed_ones_are(
    services, tmp_path
):
    services.needs_real_kafka("gives records of transactions a wrong checksum")
    async with Installation(services, tmp_path, **NEVER_LEARN) as here:
        here.start_worker()
        till = Producer(
            services.client(transactional_id=here.settings.group, partitioner="murmur2_random")
        )
        await asyncio.to_thread(till.init_transactions, 30)

        async def sell(*numbers, end):
            till.begin_transaction()
            for number in numbers:
                till.produce(here.settings.transactions_topic, transaction(number), "good")
            assert await asyncio.to_thread(till.flush, 30) == 0
            if end is not None:
                await asyncio.to_thread(end, 30)

        await sell(1, 2, end=till.commit_transaction)
        await sell(3, 4, 5, end=till.abort_transaction)
        await here.produce([(transaction(6), "good")])
        await here.until(lambda p: p.applied == 3)
        await sell(7, end=None)
        await here.produce([(transaction(8), "good"), (transaction(6), "good")])
        await asyncio.to_thread(till.commit_transaction, 30)
        await here.until(lambda p: (p.applied, p.duplicates, p.dead) == (5, 1, 0))
        await here.settled()
        assert (await here.hashes())["good"]["monetary_total"] == b"52.5000"


async def test_killed_worker_loses_no_change_and_invents_none(services, tmp_path):
    purchases = cdnow_of(1_500)
    plain = await Run(4, Settings(**NEVER_LEARN)).start()
    await plain.feed(purchases, 500)
    await plain.sweep()
    async with Installation(services, tmp_path, slice_records_max=50, **NEVER_LEARN) as here:
        worker = here.start_worker()
        await here.produce([(p.value, p.customer_id) for p in purchases])
        for share in (0.1, 0.3, 0.5):
            await here.until(lambda p, share=share: p.read > share * len(purchases))
            worker.kill()
            worker.wait()
            at_kill = await here.progress()
            assert at_kill.read < len(purchases), "killed too late to prove anything"
            worker = here.start_worker()
        progress = await here.until(lambda p: p.read == len(purchases))
        assert (progress.applied, progress.duplicates) == (len(purchases), 0)
        await here.settled()
        ignored = {"source"}  # other slices, other topic name: where in the log it came from
        found, expected = await here.hashes(), plain.hashes()
        assert found.keys() == expected.keys()
        for customer_id, fields in expected.items():
            got = {k: v for k, v in found[customer_id].items() if k not in ignored | {"ledger"}}
            assert got == {k: v for k, v in fields.items() if k not in ignored | {"ledger"}}
        changes = [change_of(record) for record in await here.records(here.settings.changes_topic)]
        assert {change["id"] for change in changes} == {change["id"] for change in plain.changes()}


async def test_sigterm_in_mid_replay_counts_every_purchase_once(services, tmp_path):
    purchases = cdnow_of(600)
    async with Installation(services, tmp_path, slice_records_max=50, **NEVER_LEARN) as here:
        worker = here.start_worker()
        await here.produce([(p.value, p.customer_id) for p in purchases])
        await here.until(lambda p: p.read > 200)
        worker.terminate()
        assert worker.wait(20) == 0
        here.start_worker()
        progress = await here.until(lambda p: p.read == len(purchases))
        assert (progress.applied, progress.duplicates) == (len(purchases), 0)


async def test_redelivered_transaction_ids_count_once(services, tmp_path):
    purchases = cdnow_of(100)
    async with Installation(services, tmp_path, **NEVER_LEARN) as here:
        here.start_worker()
        await here.produce([(p.value, p.customer_id) for p in purchases] * 2)
        progress = await here.until(lambda p: p.read == 2 * len(purchases))
        assert (progress.applied, progress.duplicates) == (len(purchases), len(purchases))


async def test_commands_answer_about_a_running_installation(services, tmp_path):
    purchases = cdnow_of(300)
    async with Installation(services, tmp_path, **NEVER_LEARN) as here:
        here.start_worker()
        file = tmp_path / "purchases.jsonl"
        file.write_bytes(b"\n".join(p.value for p in purchases) + b"\n")
        replayed = await here.run("replay", "jsonl", str(file), "--json")
        assert replayed.returncode == 0, replayed.stderr
        assert json.loads(replayed.stdout)["published"] == len(purchases)
        await here.until(lambda p: p.applied == len(purchases))
        await here.settled()

        looked_up = await here.run("lookup", "00003", "--json")
        assert looked_up.returncode == 0, looked_up.stderr
        profile = json.loads(looked_up.stdout)
        assert profile["frequency"] == 5
        assert profile["monetary_value"] == pytest.approx(27.14)
        assert 0 < profile["prob_alive"] < 1

        explained = await here.run("explain", "00003")
        assert explained.returncode == 0, explained.stderr
        for part in ("00003 is", "P(alive) by the day", "What silence brings", "Last changes"):
            assert part in explained.stdout

        tailed = await here.run(
            "tail", "--from-start", "--no-follow", "--cause", "silence", "--json"
        )
        assert tailed.returncode == 0, tailed.stderr
        changes = [json.loads(line) for line in tailed.stdout.splitlines()]
        assert changes
        assert {change["cause"] for change in changes} == {"silence"}

        healthy = await here.run("doctor", "--json")
        assert healthy.returncode == 0, healthy.stdout + healthy.stderr
        assert json.loads(healthy.stdout)["ok"]

        unknown = await here.run("lookup", "nobody")
        assert unknown.returncode == 3
        assert "nobody" in unknown.stderr
        assert "Traceback" not in unknown.stderr
        strange = await here.run("lookup", "a:b{c}*")
        assert strange.returncode == 65


async def test_worker_with_other_currency_than_founded_stops_and_says_so(services, tmp_path):
    async with Installation(services, tmp_path, **NEVER_LEARN) as here:
        await here.store.found({"partitions": "4", "timezone": "UTC", "currency": "EUR"})
        worker = here.start_worker()
        code = await asyncio.to_thread(worker.wait, 30)
        assert code == 78
        assert "founded with currency 'EUR', not 'USD'" in worker.log.read_text()


async def test_unexpected_error_ends_the_worker_without_committing_and_says_why(services, tmp_path):
    async with Installation(services, tmp_path, **NEVER_LEARN) as here:
        key = f"{here.settings.key_prefix}customer:good"
        async with open_async_redis(here.settings) as redis:
            await redis.set(key, "not a hash")  # somebody else's hand
            worker = here.start_worker()
            await here.produce([(transaction(1), "good")])
            assert await asyncio.to_thread(worker.wait, 30) == 70
            assert "WRONGTYPE" in worker.log.read_text()
            assert (await here.progress()).read == 0
            await redis.delete(key)
        here.start_worker()
        progress = await here.until(lambda p: p.read == 1)
        assert progress.applied == 1
