"""The doctor on real servers: ills brought about one by one, found, named and mended."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaProducer
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, OffsetSpec

from ops.demo import child_environment
from ops.doctor.examine import REDIS_SECONDS_MAX, examine
from ops.doctor.finding import Finding, Verdict
from ops.doctor.knock import CONNECT_SECONDS_MAX
from ops.doctor.remedies import Remedies
from ops.security.roles import Role
from ops.stack.java import find_java, kafka_jars, kafka_version
from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from ops.stack.topics import declared_topics
from state.redis_store import RedisStore
from state.store import SliceCommit
from streams.connections import redis_store
from streams.settings import Settings

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
PARTITIONS = 3
FOUNDED = {"partitions": str(PARTITIONS), "timezone": "UTC", "currency": "USD"}
WORKER_SECONDS_MAX = 60.0
HEARD_SECONDS_MAX = 30.0
_numbers = count(1)


@pytest.fixture(scope="module")
def stack(machine: StackSettings) -> Iterator[LocalStack]:
    """Servers of our own: some ills concern them as a whole."""
    with LocalStack(machine=machine) as running:
        yield running


@pytest.fixture
def admin(stack: LocalStack) -> AdminClient:
    return AdminClient({"bootstrap.servers": stack.kafka, "log_level": 0})


@pytest.fixture
def settings(stack: LocalStack) -> Settings:
    """An installation of its own, with its topics as declared."""
    name = f"doctor-{next(_numbers)}"
    topics = {
        field: f"{name}.{Settings.model_fields[field].default}"
        for field in Settings.model_fields
        if field.endswith("_topic")
    }
    made = Settings(
        kafka=stack.kafka, redis=stack.redis, group=name, key_prefix=f"{name}:", **topics
    )
    stack.create_topics(declared_topics(made, PARTITIONS))
    return made


async def look(settings: Settings, role: Role = Role.WORKER) -> dict[str, Finding]:
    return {one.name: one for one in await examine(settings, role)}


def failed(findings: dict[str, Finding]) -> set[str]:
    return {name for name, one in findings.items() if one.verdict is Verdict.FAIL}


def doctor(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "doctor", *words],
        cwd=ROOT,
        env=child_environment(settings) | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Hands:
    """An operator who pastes commands, word for word."""

    def __init__(self, machine: StackSettings, admin: AdminClient, settings: Settings) -> None:
        self._machine = machine
        self._admin = admin
        self._environment = child_environment(settings)

    def run(self, command: str) -> None:
        tool, *words = shlex.split(command)
        if tool == "kafka-configs.sh":  # the tool itself: the local stack's jars have it
            jars = kafka_jars(self._machine.cache)
            java = [find_java(self._machine.java_home), "-cp", f"{jars}/*"]
            self._done([*java, "kafka.admin.ConfigCommand", *words], "Completed updating config")
        elif tool == "kafka-topics.sh":  # they have not this one
            self._topics(words)
        elif tool == "everscore":
            self._done([sys.executable, "-m", "ops.cli.main", *words], "created ")
        else:
            assert tool == "redis-cli"
            self._done([tool, *words], "OK")

    def _done(self, words: list[str], said: str) -> None:
        run = subprocess.run(
            words,
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert said in run.stdout, run.stdout + run.stderr

    def _topics(self, words: list[str]) -> None:
        """What kafka-topics.sh does with these options, and with no others."""
        parser = argparse.ArgumentParser(allow_abbrev=False)
        parser.add_argument("--bootstrap-server", required=True)
        parser.add_argument("--topic", required=True)
        parser.add_argument("--partitions", type=int)
        for what in ("--alter", "--delete"):
            parser.add_argument(what, action="store_true")
        asked = parser.parse_args(words)
        if asked.delete:
            (done,) = self._admin.delete_topics([asked.topic]).values()
        else:
            assert asked.alter
            more = NewPartitions(asked.topic, asked.partitions)
            (done,) = self._admin.create_partitions([more]).values()
        done.result(30)
        self._wait(asked.topic, None if asked.delete else asked.partitions)

    def _wait(self, topic: str, partitions: int | None) -> None:
        """Until the broker has heard of it from its controller, as an operator's next breath."""
        deadline = time.monotonic() + HEARD_SECONDS_MAX
        while time.monotonic() < deadline:
            known = self._admin.list_topics(timeout=10).topics.get(topic)
            there = None if known is None else len(known.partitions)
            leaders = [] if known is None else [p.leader for p in known.partitions.values()]
            if there == partitions and all(leader >= 0 for leader in leaders):
                return
            time.sleep(0.05)
        raise AssertionError(f"{topic} never had {partitions} partitions")

    async def mend(self, finding: Finding, settings: Settings) -> Finding:
        """The same check after its mends."""
        for mend in finding.mends:
            for command in mend.run:
                await asyncio.to_thread(self.run, command)
        return (await look(settings))[finding.name]

    async def configure(self, settings: Settings, topic: str, pairs: str) -> None:
        await asyncio.to_thread(
            self.run, Remedies(settings).set_topic(topic, dict([pairs.split("=")]))
        )


@pytest.fixture
def hands(machine: StackSettings, admin: AdminClient, settings: Settings) -> Hands:
    return Hands(machine, admin, settings)


@pytest.fixture
def server(stack: LocalStack) -> Iterator[redis.Redis]:
    """Redis as a whole; set back to what it was afterwards."""
    with redis.Redis.from_url(stack.redis) as client:
        names = ("maxmemory-policy", "appendonly", "maxmemory")
        before: dict[str, str] = {}
        for name in names:
            before |= client.config_get(name)  # type: ignore[arg-type]
        yield client
        for name, value in before.items():
            client.config_set(name, value)


# --- well


async def test_installation_as_declared_and_not_founded_yet_fails_nothing(settings):
    findings = await look(settings)
    assert failed(findings) == set()
    odd = {name for name, one in findings.items() if one.verdict is not Verdict.OK}
    assert odd == {"kafka.brokers", "clock.records"}  # a single broker; no record yet
    assert findings["kafka.version"].values["versions"] == [kafka_version().rpartition(".")[0]]
    assert findings["progress.workers"].found == "none yet"


async def test_worker_at_work_is_found_with_its_partitions(settings, tmp_path):
    worker = start_worker(settings, "night-shift", tmp_path)
    try:
        await produce(settings)
        deadline = time.monotonic() + WORKER_SECONDS_MAX
        while True:
            findings = await look(settings)
            at_work = findings["progress.workers"].found == "1 worker: night-shift has 0–2"
            if at_work and findings["progress.lag"].values["records"] == 0:
                break
            assert time.monotonic() < deadline, findings
            assert worker.poll() is None, (tmp_path / "worker.log").read_text()
            await asyncio.sleep(0.2)
        assert failed(findings) == set()
        assert findings["clock.records"].verdict is Verdict.OK
        assert findings["progress.positions"].found == "all 6 lie within the log"
        run = await asyncio.to_thread(doctor, settings, "--json")
        assert run.returncode == 0, run.stdout + run.stderr
        assert json.loads(run.stdout)["ok"]
        assert run.stderr == ""
    finally:
        worker.terminate()
        worker.wait(30)
    assert (await look(settings))["progress.workers"].verdict is Verdict.WARNING


def start_worker(settings: Settings, owner: str, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "worker.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ops.cli.main", "worker"],
            cwd=ROOT,
            env=child_environment(settings) | {"EVERSCORE_OWNER": owner},
            stdout=log,
            stderr=log,
        )


async def produce(settings: Settings) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    for number in range(30):
        purchase = {
            "transaction_id": f"t-{number}",
            "customer_id": f"C-{number}",
            "amount": 1,
            "occurred_at": "2026-01-05T10:00:00Z",
        }
        key = f"C-{number}".encode()
        await producer.send(settings.transactions_topic, json.dumps(purchase).encode(), key=key)
    await producer.stop()


async def test_asking_creates_nothing(stack, admin):
    nobody = Settings(kafka=stack.kafka, redis=stack.redis, transactions_topic="never-created")
    before = set(admin.list_topics(timeout=30).topics)
    assert "topic.transactions" in failed(await look(nobody))
    assert set(admin.list_topics(timeout=30).topics) == before


# --- topics


async def test_retention_of_a_week_is_named_and_mended(settings, hands):
    await hands.configure(settings, settings.transactions_topic, "retention.ms=604800000")
    ill = await look(settings)
    assert failed(ill) == {"topic.transactions"}
    assert "retention.ms=604800000" in ill["topic.transactions"].found
    assert "7 days" in ill["topic.transactions"].found
    assert (await hands.mend(ill["topic.transactions"], settings)).verdict is Verdict.OK


async def test_compaction_and_small_records_are_named_and_mended(settings, hands):
    await hands.configure(settings, settings.rekeyed_topic, "max.message.bytes=1000")
    await hands.configure(settings, settings.scorecards_topic, "cleanup.policy=delete")
    ill = await look(settings)
    assert failed(ill) == {"topic.rekeyed", "topic.scorecards"}
    assert "max.message.bytes=1000" in ill["topic.rekeyed"].found
    assert "cleanup.policy=delete" in ill["topic.scorecards"].found
    for name in ("topic.rekeyed", "topic.scorecards"):
        assert (await hands.mend(ill[name], settings)).verdict is Verdict.OK


async def test_missing_topic_is_named_and_made(settings, hands, admin):
    hands.run(Remedies(settings).delete_topic(settings.changes_topic))
    ill = await look(settings)
    assert failed(ill) == {"topic.changes"}
    assert repr(settings.changes_topic) in ill["topic.changes"].found
    assert (await hands.mend(ill["topic.changes"], settings)).verdict is Verdict.OK


@pytest.mark.parametrize("partitions", [PARTITIONS - 1, PARTITIONS + 2])
async def test_rekeyed_with_other_partitions_is_named_and_mended(
    stack, settings, hands, partitions
):
    topic = next(
        one for one in declared_topics(settings, partitions) if one.name == settings.rekeyed_topic
    )
    hands.run(Remedies(settings).delete_topic(topic.name))
    stack.create_topics([topic])
    ill = await look(settings)
    assert failed(ill) == {"installation.partitions"}
    found = ill["installation.partitions"].found
    assert f"{topic.name} has {partitions}" in found
    assert f"{settings.transactions_topic} has {PARTITIONS}" in found
    healthy = await hands.mend(ill["installation.partitions"], settings)
    assert healthy.verdict is Verdict.OK


# --- the installation


async def test_installation_of_other_partitions_is_named(settings):
    async with store_of(settings) as store:
        await store.found(FOUNDED | {"partitions": "5"})
    ill = await look(settings)
    assert "installation.partitions" in failed(ill)
    assert "has 3, but the installation was founded with 5" in ill["installation.partitions"].found
    assert "EVERSCORE_KEY_PREFIX" in ill["installation.partitions"].mends[0].run[0]


async def test_position_beyond_the_log_is_named_and_mended_by_a_new_installation(settings):
    async with store_of(settings) as store:
        await store.found(FOUNDED)
        await put(store, settings.transactions_topic, 1, 1_234)
    ill = await look(settings)
    assert failed(ill) == {"progress.positions"}
    where = f"{settings.transactions_topic}-1"
    assert f"{where} goes on at 1,234, the log holds 0 to 0" in ill["progress.positions"].found
    (command,) = ill["progress.positions"].mends[0].run
    exported = dict(pair.split("=") for pair in shlex.split(command)[1:])
    prefix = exported["EVERSCORE_KEY_PREFIX"]
    again = settings.model_copy(update={"key_prefix": prefix, "group": exported["EVERSCORE_GROUP"]})
    assert failed(await look(again)) == set()


async def test_position_before_the_log_is_named(settings, admin):
    await produce(settings)
    topic = settings.transactions_topic
    end = admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.latest()})
    offset = next(iter(end.values())).result(30).offset
    assert offset > 1
    gone = admin.delete_records([TopicPartition(topic, 0, offset)])
    next(iter(gone.values())).result(30)
    async with store_of(settings) as store:
        await store.found(FOUNDED)
        await put(store, topic, 0, 1)
    ill = await look(settings)
    assert failed(ill) == {"progress.positions"}
    assert f"{topic}-0 goes on at 1, the log holds {offset} to {offset}" in (
        ill["progress.positions"].found
    )
    assert f"first {offset} records are gone" in ill["topic.transactions"].found


async def test_emptied_redis_is_noticed_by_what_its_workers_told_kafka(settings, admin):
    await produce(settings)
    topic = settings.transactions_topic
    told = ConsumerGroupTopicPartitions(settings.group, [TopicPartition(topic, 0, 2)])
    next(iter(admin.alter_consumer_group_offsets([told]).values())).result(30)
    ill = await look(settings)
    assert ill["installation.settings"].verdict is Verdict.WARNING
    assert "have counted 2 records" in ill["installation.settings"].found

    gone = admin.delete_records([TopicPartition(topic, 0, 1)])
    next(iter(gone.values())).result(30)
    async with store_of(settings) as store:
        await store.found(FOUNDED)
    ill = await look(settings)
    assert failed(ill) == {"progress.positions"}
    assert f"{topic}-0 was counted to 2, the log begins at 1" in ill["progress.positions"].found


async def test_other_currency_than_founded_is_named_with_what_to_set(settings):
    async with store_of(settings) as store:
        await store.found(FOUNDED | {"currency": "EUR"})
    ill = await look(settings)
    assert failed(ill) == {"installation.settings"}
    assert ill["installation.settings"].mends[0].run == ("export EVERSCORE_CURRENCY=EUR",)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("SET", "installation", "not a hash"), "WRONGTYPE"),
        (("HSET", "installation", "partitions", "many"), "'many'"),
        (("HSET", "partition:0", "epoch", "x"), "'x'"),
    ],
)
async def test_keys_of_somebody_else_are_named_and_do_not_end_the_doctor(
    settings, server, command, said
):
    async with store_of(settings) as store:
        if command[1] != "installation":
            await store.found(FOUNDED)
    name, key, *rest = command
    server.execute_command(name, settings.key_prefix + key, *rest)
    ill = await look(settings)
    assert failed(ill) == {"installation.settings"}
    assert said in ill["installation.settings"].found
    assert ill["redis.persistence"].verdict is Verdict.OK


@asynccontextmanager
async def store_of(settings: Settings) -> AsyncIterator[RedisStore]:
    store = redis_store(settings)
    try:
        yield store
    finally:
        await store.close()


async def put(store: RedisStore, topic: str, partition: int, offset: int) -> None:
    """Let a partition go on at an offset."""
    before = await store.acquire(partition, "somebody")
    after = before.moved(topic, offset)
    await store.commit_slice(SliceCommit(partition, before, after))


# --- Redis


@pytest.mark.parametrize(
    ("setting", "value", "check", "verdict"),
    [
        ("maxmemory-policy", "allkeys-lru", "redis.eviction", Verdict.FAIL),
        ("appendonly", "no", "redis.persistence", Verdict.FAIL),
    ],
)
@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli to paste into")
async def test_redis_that_loses_customers_is_named_and_mended(
    settings, server, hands, setting, value, check, verdict
):
    server.config_set(setting, value)
    ill = await look(settings)
    assert failed(ill) == {check}
    assert f"{setting} {value}" in ill[check].found
    assert (await hands.mend(ill[check], settings)).verdict is Verdict.OK


async def test_redis_that_is_almost_full_is_named(settings, server):
    used = server.info("memory")["used_memory"]
    server.config_set("maxmemory", int(used * 1.1))
    memory = (await look(settings))["redis.memory"]
    assert memory.verdict in {Verdict.WARNING, Verdict.FAIL}
    assert "of maxmemory" in memory.found
    assert "CONFIG SET maxmemory" in memory.mends[0].run[0]


# --- servers that are away


def test_kafka_that_is_away_is_one_line_and_exit_code_69(settings):
    run = doctor(settings.model_copy(update={"kafka": "127.0.0.1:1"}))
    assert run.returncode == 69
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    assert [line for line in lines if "FAIL" in line] == [
        line for line in lines if "Kafka at 127.0.0.1:1 does not answer" in line
    ]
    assert "Redis" in lines
    assert lines[-1].startswith("1 failed")


def test_redis_that_is_away_is_one_line_and_exit_code_69(settings):
    run = doctor(settings.model_copy(update={"redis": "redis://127.0.0.1:1/0"}), "--json")
    assert run.returncode == 69
    said = json.loads(run.stdout)
    assert [one["name"] for one in said["checks"] if one["verdict"] == "fail"] == ["redis.answers"]
    assert "topic.samples" in {one["name"] for one in said["checks"]}


def test_servers_that_accept_and_say_nothing_are_waited_for_no_longer_than_the_limits(settings):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        silent = {"kafka": address, "redis": f"redis://{address}/0"}
        run = doctor(settings.model_copy(update=silent), "--json")
    assert run.returncode == 69
    checks = {one["name"]: one for one in json.loads(run.stdout)["checks"]}
    for name, limit in (("kafka", CONNECT_SECONDS_MAX), ("redis", REDIS_SECONDS_MAX)):
        assert f"did not answer within {limit:g} s" in checks[f"{name}.answers"]["found"]


def test_one_address_that_is_away_beside_one_that_answers_is_a_warning(settings):
    both = settings.model_copy(update={"kafka": f"127.0.0.1:1,{settings.kafka}"})
    run = doctor(both, "--json")
    assert run.returncode == 0
    checks = {one["name"]: one for one in json.loads(run.stdout)["checks"]}
    assert checks["kafka.answers"]["verdict"] == "warning"
    assert "127.0.0.1:1" in checks["kafka.answers"]["found"]
    assert checks["topic.transactions"]["verdict"] == "ok"
