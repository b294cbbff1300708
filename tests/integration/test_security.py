"""Kafka and Redis behind locks, for real: who may do what, what a refusal says, and what nobody sees."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from ops.change_feed import change_of, open_consumer, records_to_end
from ops.producing import PacedProducer, progress_of
from ops.security.certificates import Authority, Certificate
from ops.security.door import SecureDoor
from ops.security.kafka_users import acl_of
from ops.security.profile import USERS, Profile
from ops.security.roles import kafka_acls
from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from ops.stack.topics import declared_topics, ensure_topics
from schemas.errors import ConfigurationError
from state.redis_store import RedisStore
from streams.connections import kafka_access, redis_store
from streams.settings import Settings
from tests.support.purchases import Purchase, Run, cdnow_of
from tests.support.seat import REPOSITORY, Seat
from tests.support.services_report import RAN_ON

pytestmark = pytest.mark.integration
PARTITIONS = 4
SETTINGS = Settings.model_construct()
TOPICS = [topic.name for topic in declared_topics(SETTINGS, PARTITIONS)]
WAIT_SECONDS_MAX = 60.0
CONFIG, AWAY = 78, 69  # exit codes


@pytest.fixture(autouse=True)
def _ran_on(stack: LocalStack, record_property: Callable[[str, object], None]) -> None:
    kafka, redis_server = stack.status()
    ours = f"Apache Kafka {kafka.version} and Redis {redis_server.version} of its own"
    record_property(RAN_ON, f"a secure {ours}")


@pytest.fixture(scope="module")
def stack(machine: StackSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Only those with a key get in; the folder is not the stack's, which removes its own."""
    profile = Profile(tmp_path_factory.mktemp("secure") / "security")
    try:
        SecureDoor(profile).redis_executable()
    except ConfigurationError as error:
        if os.environ.get("REQUIRE_REAL_SERVICES") == "1":
            pytest.fail(f"REQUIRE_REAL_SERVICES=1, but: {error}")
        pytest.skip(f"no secure stack here: {error}")
    topics = declared_topics(SETTINGS, PARTITIONS)
    with LocalStack(topics=topics, machine=machine, secure=profile) as running:
        yield running


# --- A worker behind locks


@pytest.mark.parametrize("certificate", [False, True], ids=["password", "certificate"])
async def test_worker_counts_purchases_of_known_producers_and_tells_known_readers(
    stack: LocalStack, tmp_path: Path, certificate: bool
) -> None:
    def sits(user: str) -> Seat:
        return Seat(stack, user, certificate=certificate)

    purchases = [
        Purchase(
            f"{certificate}-{p.customer_id}", p.day, p.cents, f"{certificate}-{p.transaction_id}"
        )
        for p in cdnow_of(300)
    ]
    plain = await Run(PARTITIONS, Settings(first_fit_customers=10**9)).start()
    await plain.feed(purchases, 500)
    store = redis_store(sits("support").settings)  # who looks need not be able to change anything
    before = (await progress_of(store, SETTINGS, PARTITIONS)).applied
    worker = sits("worker").start_worker(tmp_path / "worker.log")
    try:
        async with PacedProducer(sits("producer").settings) as producer:
            for purchase in purchases:
                await producer.send(purchase.value, purchase.customer_id)
            await producer.flush()
        await until_counted(store, before + len(purchases), worker, tmp_path / "worker.log")
        found = await hashes(store)
    finally:
        worker.terminate()
        assert worker.wait(WAIT_SECONDS_MAX) == 0, said_in(tmp_path / "worker.log")
        await store.close()
    for customer_id, fields in plain.hashes().items():
        for name in ("frequency", "t_x_days", "first_purchase_at", "monetary_total"):
            assert found[customer_id][name] == fields[name], customer_id

    async with open_consumer(sits("reader").settings, SETTINGS.changes_topic) as (feed, partitions):
        changes = [change_of(record) async for record in records_to_end(feed, partitions)]
    told = [c["customer_id"] for c in changes if c["sequence"] == 1]
    assert len(told) == len(set(told))
    assert set(plain.hashes()) <= set(told)

    support = sits("support")
    for words in (["lookup"], ["explain"]):
        said = support.run(*words, f"{certificate}-00003", "--json")
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["frequency"] == 5
    tailed = support.run("tail", "--from-start", "--no-follow", "--json")
    assert len(tailed.stdout.splitlines()) == len(changes)
    verified = sits("auditor").run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    refused = support.run("verify")
    assert refused.returncode == CONFIG
    assert "does not let" in refused.stderr
    assert "use topic 'partition-journal'" in refused.stderr


async def until_counted(
    store: RedisStore, count: int, worker: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while (progress := await progress_of(store, SETTINGS, PARTITIONS)).applied < count:
        assert worker.poll() is None, said_in(log)
        assert time.monotonic() < deadline, f"{progress}\n{said_in(log)}"
        await asyncio.sleep(0.05)
    assert (progress.applied, progress.duplicates, progress.dead) == (count, 0, 0)
    for partition in range(PARTITIONS):  # and all of it is published
        while await store.outbox(partition, "", 1):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


def said_in(log: Path) -> str:
    return log.read_text()


async def hashes(store: RedisStore) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for partition in range(PARTITIONS):
        cursor, ids = await store.customers(partition, 0, 10_000)
        while cursor:
            cursor, more = await store.customers(partition, cursor, 10_000)
            ids += more
        rows = await store.load_many(partition, ids)
        found |= {ident: dict(row or {}) for ident, row in zip(ids, rows, strict=True)}
    return found


async def test_worker_may_make_and_use_what_a_demo_makes(stack: LocalStack, tmp_path: Path) -> None:
    seat, run = Seat(stack, "worker"), "everscore-demo-4711"
    fields = [field for field in Settings.model_fields if field.endswith("_topic")]
    names = {field: f"{run}.{field}" for field in fields}
    demo = {**names, "group": run, "key_prefix": "demo-4711:"}
    settings = Settings(**seat.settings.model_dump(exclude={"owner"}) | demo)
    topics = declared_topics(settings, PARTITIONS)
    made = await ensure_topics(settings.kafka, topics, kafka_access(settings))
    assert set(made.created) == set(names.values())
    changes = {name.upper(): value for name, value in demo.items()}
    worker = seat.start_worker(tmp_path / "worker.log", **changes)
    store = redis_store(settings)
    purchases = cdnow_of(100)
    try:
        async with PacedProducer(settings) as producer:
            for purchase in purchases:
                await producer.send(purchase.value, purchase.customer_id)
            await producer.flush()
        await until_counted(store, len(purchases), worker, tmp_path / "worker.log")
        async with open_consumer(settings, settings.changes_topic) as (feed, partitions):
            assert [record async for record in records_to_end(feed, partitions)]
    finally:
        worker.terminate()
        worker.wait(WAIT_SECONDS_MAX)
        await store.close()
    elsewhere = Settings(**settings.model_dump() | {"samples_topic": "not-a-demo"})
    with pytest.raises(ConfigurationError, match="'not-a-demo'"):
        await ensure_topics(settings.kafka, declared_topics(elsewhere, 1), kafka_access(settings))


# --- Kafka: what each may read and write, and nothing else

MAY_READ = {
    "worker": {
        "transactions",
        "transactions.rekeyed",
        "partition-journal",
        "scorecards",
        "customer-samples",
    },
    "producer": set(),
    "reader": {"segment-changes"},
    "support": {"segment-changes", "transactions.dead-letter"},
    "auditor": {
        "transactions",
        "transactions.rekeyed",
        "partition-journal",
        "segment-changes",
        "transactions.dead-letter",
    },
    "stranger": set(),
}
MAY_WRITE = {
    "worker": {
        "transactions.rekeyed",
        "partition-journal",
        "segment-changes",
        "transactions.dead-letter",
        "scorecards",
        "customer-samples",
    },
    "producer": {"transactions"},
    "reader": set(),
    "support": set(),
    "auditor": set(),
    "stranger": set(),
}
GROUP = {"worker": "everscore", "reader": "offers-test"}


@pytest.fixture(scope="module")
def seats(stack: LocalStack) -> dict[str, dict[str, Any]]:
    """librdkafka's configuration of every user, and of one whom the CA knows and nobody else."""
    assert stack.secure is not None
    seats = {user: Seat(stack, user).kafka() for user in USERS}
    folder = stack.secure.folder
    authority = Authority(
        Certificate(stack.secure.ca.read_bytes(), (folder / "ca.key").read_bytes())
    )
    made = authority.issue_client("stranger")
    (folder / "stranger.pem").write_bytes(made.certificate)
    (folder / "stranger.key").write_bytes(made.key)
    seats["stranger"] = seats["admin"] | {
        "ssl.certificate.location": str(folder / "stranger.pem"),
        "ssl.key.location": str(folder / "stranger.key"),
    }
    return seats


def written(config: dict[str, Any], topic: str) -> bool:
    """Whether a record is taken by a topic."""
    refused: list[KafkaError | None] = []
    producer = Producer({**config, "enable.idempotence": False, "message.timeout.ms": 20_000})
    producer.produce(topic, b"{}", key=b"k", on_delivery=lambda why, _: refused.append(why))
    assert producer.flush(30) == 0
    if refused[0] is not None:
        assert refused[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, refused
    return refused[0] is None


def read(config: dict[str, Any], topic: str) -> bool:
    """Whether a topic's first partition can be read."""
    patience = {"enable.partition.eof": True, "topic.metadata.propagation.max.ms": 100}
    consumer = Consumer({**config, "group.id": "any", "enable.auto.commit": False, **patience})
    deadline = time.monotonic() + 30
    try:
        described = consumer.list_topics(topic, timeout=30).topics[topic].error
        if described is not None:
            assert described.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, described
            return False
        consumer.assign([TopicPartition(topic, 0, 0)])
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            error = None if message is None else message.error()
            if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                return False
            if message is not None and (error is None or error.code() == KafkaError._PARTITION_EOF):
                return True
    finally:
        consumer.close()
    raise AssertionError(f"neither records nor a refusal from {topic}")


@pytest.mark.parametrize("user", MAY_READ)
def test_users_read_their_topics_and_no_others(seats: dict[str, Any], user: str) -> None:
    assert {topic for topic in TOPICS if read(seats[user], topic)} == MAY_READ[user]


def test_producer_may_publish_idempotently_without_more_rights(seats: dict[str, Any]) -> None:
    refused: list[KafkaError | None] = []
    producer = Producer({**seats["producer"], "enable.idempotence": True})
    producer.produce("transactions", b"{}", on_delivery=lambda why, _: refused.append(why))
    assert producer.flush(30) == 0
    assert refused == [None]


def joined(config: dict[str, Any], group: str, topic: str) -> bool:
    """Whether a group can be joined for a topic that may be read."""
    consumer = Consumer({**config, "group.id": group, "enable.auto.commit": False})
    assigned: list[Any] = []
    try:
        consumer.subscribe([topic], on_assign=lambda _, parts: assigned.extend(parts))
        deadline = time.monotonic() + 30
        while not assigned and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            error = None if message is None else message.error()
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                return False
        assert assigned
        return True
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("user", "group", "topic", "may"),
    [
        ("reader", "offers", "segment-changes", True),
        ("reader", "offers-of-the-shop", "segment-changes", True),
        ("reader", "everscore", "segment-changes", False),
        ("reader", "mine", "segment-changes", False),
        ("worker", "offers", "transactions", False),
        ("support", "everscore", "segment-changes", False),
        ("support", "offers", "segment-changes", False),
        ("producer", "offers", "transactions", False),
    ],
)
def test_users_join_their_groups_and_no_others(
    seats: dict[str, Any], user: str, group: str, topic: str, may: bool
) -> None:
    assert joined(seats[user], group, topic) is may


WRITE_TRANSACTIONS = AclBinding(
    ResourceType.TOPIC, "transactions", ResourcePatternType.LITERAL, "User:support", "*",
    AclOperation.WRITE, AclPermissionType.ALLOW,
)  # fmt: skip
ALL_ACLS = AclBindingFilter(
    ResourceType.ANY, None, ResourcePatternType.ANY, None, None,  # type: ignore[arg-type]
    AclOperation.ANY, AclPermissionType.ANY,
)  # fmt: skip
SHORT_MEMORY = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
TOPIC = ConfigResource(ResourceType.TOPIC, "transactions", incremental_configs=[SHORT_MEMORY])
BROKER = ConfigResource(ResourceType.BROKER, "1")
PASSWORD = UserScramCredentialUpsertion(
    "worker", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), b"ours"
)
ADMIN_ACTS: dict[str, Callable[[AdminClient], Any]] = {
    "create a topic": lambda admin: admin.create_topics([NewTopic("mine", 1, 1)]),
    "delete a topic": lambda admin: admin.delete_topics(["segment-changes"]),
    "grow a topic": lambda admin: admin.create_partitions([NewPartitions("transactions", 8)]),
    "shorten a topic's memory": lambda admin: admin.incremental_alter_configs([TOPIC]),
    "delete records": lambda admin: admin.delete_records([TopicPartition("transactions", 0, 1)]),
    "give rights": lambda admin: admin.create_acls([WRITE_TRANSACTIONS]),
    "take rights": lambda admin: admin.delete_acls([ALL_ACLS]),
    "change a password": lambda admin: admin.alter_user_scram_credentials([PASSWORD]),
    "see a broker's settings": lambda admin: admin.describe_configs([BROKER]),
}


@pytest.mark.parametrize("act", ADMIN_ACTS)
def test_nobody_but_the_admin_may(seats: dict[str, Any], act: str) -> None:
    for user in ("worker", "producer", "reader", "support", "auditor", "stranger"):
        admin = AdminClient(seats[user])  # a name: its answers go with it
        with pytest.raises(KafkaException) as refused:
            next(iter(ADMIN_ACTS[act](admin).values())).result(30)
        name = KafkaError(refused.value.args[0].code()).name()
        # _NOENT: they do not even see that there is a leader to ask.
        assert "AUTHORIZATION_FAILED" in name or name == "_NOENT", (user, refused.value)


def test_admin_may_see_what_others_may_not(seats: dict[str, Any]) -> None:
    admin = AdminClient(seats["admin"])
    assert next(iter(admin.describe_configs([BROKER]).values())).result(30)
    assert admin.describe_acls(ALL_ACLS).result(30)
    assert admin.describe_user_scram_credentials(["worker"])["worker"].result(30)
    worker = AdminClient(seats["worker"])
    assert not worker.describe_acls(ALL_ACLS).result(30)


def test_acls_of_kafka_are_those_declared_and_no_others(
    stack: LocalStack, seats: dict[str, Any]
) -> None:
    admin = AdminClient(seats["admin"])
    next(iter(admin.create_acls([WRITE_TRANSACTIONS]).values())).result(30)
    assert written(seats["support"], "transactions")
    stack.start()  # as `everscore stack up` does with what runs
    found = admin.describe_acls(ALL_ACLS).result(30)
    assert {acl_of(binding) for binding in found} == set(kafka_acls(SETTINGS, USERS))
    assert not written(seats["support"], "transactions")


def test_stranger_sees_no_topic(seats: dict[str, Any]) -> None:
    assert AdminClient(seats["stranger"]).list_topics(timeout=30).topics == {}
    assert set(AdminClient(seats["producer"]).list_topics(timeout=30).topics) == {"transactions"}


# --- Redis: commands and keys

FORBIDDEN = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG SET maxmemory 1mb",
    "CONFIG GET *",
    "CONFIG REWRITE",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "DBSIZE",
    "SHUTDOWN NOSAVE",
    "ACL LIST",
    "ACL SETUSER worker on nopass ~* +@all",
    "ACL WHOAMI",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "REPLICAOF 127.0.0.1 1",
    "BGSAVE",
    "SAVE",
    "SCRIPT FLUSH",
    "FUNCTION LIST",
    "MODULE LIST",
    "SLOWLOG GET",
    "SELECT 1",
    "DEL customer:1",
    "UNLINK customer:1",
    "EXPIRE customer:1 1",
    "RENAME customer:1 customer:2",
    "RESTORE customer:9 0 x",
    "DUMP customer:1",
    "EVAL return(1) 0",
    "SUBSCRIBE a",
    "PUBLISH a b",
]
WRITES = [
    "HSET customer:1 segment Champions",
    "HSETNX installation partitions 9",
    "HINCRBY partition:0 epoch 1",
    "SET scorecard:current mine",
    "ZADD due:0 1 nobody",
    "XADD outbox:0 * messages x",
    "XTRIM outbox:0 MAXLEN 0",
]
ELSEWHERE = [
    "HSET other:1 a b",
    "HGETALL other:1",
    "SET x y",
    "GET x",
    "HSET customers a b",
    "HGETALL us:customer:1",
    "SET scorecard:other x",
]


def refused(client: redis.Redis, command: str) -> bool:
    try:
        client.execute_command(*command.split())
    except redis.exceptions.NoPermissionError:
        return True
    return False


def test_debug_is_allowed_to_nobody_at_all(stack: LocalStack) -> None:
    for user in ("admin", "worker", "support"):
        with Seat(stack, user).redis() as client, pytest.raises(redis.exceptions.ResponseError):
            client.execute_command("DEBUG", "SLEEP", "0")


@pytest.fixture
def untouched(stack: LocalStack) -> Iterator[None]:
    """What is in Redis before is in Redis afterwards."""

    def everything() -> dict[bytes, bytes]:
        with Seat(stack, "admin").redis() as client:
            return {key: client.dump(key) for key in client.scan_iter()}  # type: ignore[misc]

    with Seat(stack, "admin").redis() as client:
        client.hset("customer:1", "segment", "Loyal")
        client.hset("other:1", "a", "theirs")
    before = everything()
    assert before
    yield
    assert everything() == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("user", ["worker", "support", "auditor"])
def test_dangerous_commands_are_refused(stack: LocalStack, user: str) -> None:
    with Seat(stack, user).redis() as client:
        for command in FORBIDDEN + ELSEWHERE:
            assert refused(client, command), command


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("user", ["support", "auditor"])
def test_those_who_look_may_look_at_all_and_write_nothing(stack: LocalStack, user: str) -> None:
    with Seat(stack, user).redis() as client:
        for command in WRITES:
            assert refused(client, command), command
        assert client.hget("customer:1", "segment") == b"Loyal"
        assert client.hgetall("partition:0") is not None
        assert "redis_version" in client.info()  # type: ignore[operator]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("user", ["worker", "support", "auditor"])
def test_scripts_may_do_no_more_than_their_caller(stack: LocalStack, user: str) -> None:
    bodies = [
        "return redis.call('FLUSHALL')",
        "return redis.call('KEYS', '*')",
        "return redis.call('CONFIG', 'GET', '*')",
        "return redis.call('DEL', 'customer:1')",
        "return redis.call('HGETALL', 'other:1')",
        "return redis.call('HSET', 'other:1', 'a', 'ours')",
    ]
    if user != "worker":
        bodies.append("return redis.call('HSET', 'customer:1', 'segment', 'Champions')")
    with Seat(stack, user).redis() as client:
        for body in bodies:
            sha = client.script_load(body)
            with pytest.raises(
                redis.exceptions.ResponseError,
                match=r"ACL|permission|executing the script can't|not allowed from script",
            ):
                client.evalsha(sha, 0)  # type: ignore[arg-type]
        sha = client.script_load("return redis.call('HGET', 'customer:1', 'segment')")
        assert client.evalsha(sha, 0) == b"Loyal"  # type: ignore[arg-type]


def test_redis_knows_nobody_without_a_password(stack: LocalStack) -> None:
    ca = str(Seat(stack, "worker").settings.redis_ca)
    with redis.Redis.from_url(stack.redis, ssl_ca_certs=ca) as nobody:
        for command in ("PING", "INFO", "HGETALL customer:1"):
            with pytest.raises(redis.exceptions.AuthenticationError):
                nobody.execute_command(*command.split())
    for user in ("producer", "reader", "default"):
        with (
            redis.Redis.from_url(
                stack.redis, ssl_ca_certs=ca, username=user, password=""
            ) as stranger,
            pytest.raises(redis.exceptions.AuthenticationError),
        ):
            stranger.ping()


# --- Secrets stay secret


def secrets_of(stack: LocalStack) -> list[str]:
    assert stack.secure is not None
    found = list(stack.secure.folder.glob("users/*/EVERSCORE_*_PASSWORD"))
    assert len(found) == 9
    return [path.read_text() for path in found]


def test_no_password_is_in_an_argument_a_log_or_a_file_of_the_servers(
    stack: LocalStack, tmp_path: Path
) -> None:
    secrets = secrets_of(stack)
    worker = Seat(stack, "worker").start_worker(tmp_path / "worker.log")
    try:
        pids = [worker.pid, *(server.pid for server in stack.status())]
        for pid in pids:
            arguments = Path(f"/proc/{pid}/cmdline").read_text()
            assert arguments
            assert not any(secret in arguments for secret in secrets)
        time.sleep(2)
    finally:
        worker.terminate()
        worker.wait(WAIT_SECONDS_MAX)
    files = [path for path in stack.folder.rglob("*") if path.is_file()]
    assert {"kafka.log", "redis.log", "server.properties", "redis.conf"} <= {p.name for p in files}
    for path in [*files, tmp_path / "worker.log"]:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in secrets), path
    for path in (stack.folder, stack.secure.folder if stack.secure else stack.folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"]])
def test_doctor_shows_no_password_though_it_prints_every_setting(
    stack: LocalStack, words: list[str]
) -> None:
    seat = Seat(stack, "worker")
    password = seat.profile.password("worker", "REDIS")
    url = stack.redis.replace("://", f"://worker:{password}@")
    said = seat.run(*words, REDIS=url, REDIS_USERNAME="")
    assert said.returncode == 0, said.stdout
    assert "EVERSCORE_REDIS_PASSWORD" in said.stdout
    assert not any(secret in said.stdout + said.stderr for secret in secrets_of(stack))


def test_doctor_says_who_refused_and_goes_on(stack: LocalStack) -> None:
    said = Seat(stack, "worker").run("doctor", KAFKA_PASSWORD="wrong", REDIS_PASSWORD="wrong")
    assert said.returncode == CONFIG
    for server in (f"Kafka at {stack.kafka}", f"Redis at {stack.redis}"):
        assert f"{server} refused user 'worker': wrong user name or password." in said.stdout
    assert "Traceback" not in said.stdout + said.stderr


# --- Refusals: one line, an exit code, no traceback

NOBODY = {"KAFKA_USERNAME": "nobody"}
ROLES = "ops/security/README.md says what each role needs."

Case = tuple[list[str], str, dict[str, str], int, str]
CASES: dict[str, Case] = {
    "wrong Kafka password": (
        ["worker", "tail", "replay cdnow --limit 1"], "worker", {"KAFKA_PASSWORD": "wrong"}, CONFIG,
        "Kafka at {kafka} refused user 'worker': wrong user name or password. Check "
        "EVERSCORE_KAFKA_USERNAME, EVERSCORE_KAFKA_PASSWORD",
    ),
    "unknown Kafka user": (
        ["worker"], "worker", NOBODY, CONFIG,
        "Kafka at {kafka} refused user 'nobody': wrong user name or password.",
    ),
    "mechanism that Kafka does not take": (
        ["worker"], "worker", {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}, CONFIG,
        "Kafka at {kafka} does not take SCRAM-SHA-256.",
    ),
    "Kafka's CA unknown": (
        ["worker", "tail"], "worker", {"KAFKA_CA": ""}, CONFIG,
        "Kafka at {kafka} shows a certificate that we do not trust: ",
    ),
    "Kafka by another name": (
        ["worker"], "worker", {"KAFKA": "127.1:{kafka_port}"}, CONFIG,
        "Kafka at 127.1:{kafka_port} shows a certificate of another name.",
    ),
    "plaintext to Kafka's TLS port": (
        ["worker", "tail"], "worker",
        {"KAFKA_SECURITY": "PLAINTEXT", "KAFKA_USERNAME": "", "KAFKA_CA": ""}, CONFIG,
        "Kafka at {kafka} closes the connection at the first word: it seems to want TLS",
    ),
    "password without TLS to Kafka's TLS port": (
        ["worker"], "worker", {"KAFKA_SECURITY": "SASL_PLAINTEXT", "KAFKA_CA": ""}, CONFIG,
        "Kafka at {kafka} closes the connection at the first word: it seems to want TLS",
    ),
    "no password where Kafka wants one": (
        ["worker"], "worker", {"KAFKA_SECURITY": "SSL", "KAFKA_USERNAME": ""}, CONFIG,
        "Kafka at {kafka} closes the connection when asked: it seems to want a user name",
    ),
    "no certificate where Kafka wants one": (
        ["worker"], "worker",
        {"KAFKA": "{kafka_mtls}", "KAFKA_SECURITY": "SSL", "KAFKA_USERNAME": ""}, CONFIG,
        "Kafka at {kafka_mtls} wants to see a certificate of ours.",
    ),
    "certificate that Kafka does not trust": (
        ["worker", "tail"], "worker",
        {
            "KAFKA": "{kafka_mtls}", "KAFKA_SECURITY": "SSL", "KAFKA_USERNAME": "",
            "KAFKA_CERTIFICATE": "{forged}.pem", "KAFKA_KEY": "{forged}.key",
        }, CONFIG,
        "Kafka at {kafka_mtls} refused our certificate: it ",
    ),
    "certificate that has ended": (
        ["worker"], "worker",
        {
            "KAFKA": "{kafka_mtls}", "KAFKA_SECURITY": "SSL", "KAFKA_USERNAME": "",
            "KAFKA_CERTIFICATE": "{ended}.pem", "KAFKA_KEY": "{ended}.key",
        }, CONFIG,
        "Kafka at {kafka_mtls} refused our certificate: it ",
    ),
    "topic of others": (
        ["worker"], "worker", {"TRANSACTIONS_TOPIC": "theirs"}, CONFIG,
        f"Kafka at {{kafka}} does not let user 'worker' use topic 'theirs'. {ROLES}",
    ),
    "topic that may be described and not read": (
        ["worker"], "worker", {"TRANSACTIONS_TOPIC": "segment-changes"}, CONFIG,
        f"Kafka at {{kafka}} does not let user 'worker' use topic 'segment-changes'. {ROLES}",
    ),
    "group of others": (
        ["worker"], "worker", {"GROUP": "theirs"}, CONFIG,
        f"Kafka at {{kafka}} does not let user 'worker' use group 'theirs'. {ROLES}",
    ),
    "group that may be described and not joined": (
        ["worker"], "support", {}, CONFIG,
        f"Kafka at {{kafka}} does not let user 'support' use group 'everscore'. {ROLES}",
    ),
    "publishing without the right": (
        ["replay cdnow --limit 1"], "support", {}, CONFIG,
        "Kafka at {kafka} does not let user 'support' publish anything.",
    ),
    "publishing to a topic of others": (
        ["replay cdnow --limit 1"], "worker", {}, CONFIG,
        "Kafka at {kafka} does not let user 'worker' use topic 'transactions'.",
    ),
    "reading without the right": (
        ["tail --from-start --no-follow", "dlq ls"], "producer", {}, CONFIG,
        "Kafka at {kafka} does not let user 'producer' use topic ",
    ),
    "reading what may be described": (
        ["tail --from-start --no-follow"], "producer", {"CHANGES_TOPIC": "transactions"}, CONFIG,
        "Kafka at {kafka} does not let user 'producer' use topic 'transactions'.",
    ),
    "creating topics without the right": (
        ["topics create"], "worker", {"TRANSACTIONS_TOPIC": "mine"}, CONFIG,
        "Kafka refused to create topic 'mine': TopicAuthorizationFailedError",
    ),
    "creating topics as nobody": (
        ["topics create"], "worker", NOBODY, CONFIG,
        "Kafka at {kafka} refused user 'nobody': wrong user name or password.",
    ),
    "demo as nobody": (
        ["demo --kafka {kafka} --redis {redis}"], "worker", NOBODY, CONFIG,
        "Kafka at {kafka} refused user 'nobody': wrong user name or password.",
    ),
    "demo with a wrong Redis password": (
        ["demo --kafka {kafka} --redis rediss://worker:wr%40ng@127.0.0.1:{redis_port}/0"], "worker",
        {}, CONFIG, "Redis at {redis} refused user 'worker': wrong user name or password.",
    ),
    "verifying as nobody": (
        ["verify"], "auditor", NOBODY, CONFIG,
        "Kafka at {kafka} refused user 'nobody': wrong user name or password.",
    ),
    "missing topics": (
        ["worker"], "admin",
        {"TRANSACTIONS_TOPIC": "none", "SCORECARDS_TOPIC": "nor-this"}, CONFIG,
        "Kafka at {kafka_mtls} has no topics 'none', 'nor-this'. Create what is missing: "
        "everscore topics create.",
    ),
    "missing topic of a producer": (
        ["replay cdnow --limit 1"], "admin", {"TRANSACTIONS_TOPIC": "none"}, CONFIG,
        "Kafka at {kafka_mtls} has no topic 'none'. Create",
    ),
    "missing topic of a reader": (
        ["tail", "dlq ls"], "admin",
        {"CHANGES_TOPIC": "none", "DEAD_LETTER_TOPIC": "none"}, CONFIG,
        "Kafka at {kafka_mtls} has no topic 'none'.",
    ),
    "Kafka away": (
        ["worker", "tail"], "worker", {"KAFKA": "127.0.0.1:1"}, AWAY,
        "Kafka at 127.0.0.1:1 does not answer: Connection refused.",
    ),
    "TLS to a Kafka port without": (
        ["worker"], "worker", {"KAFKA": "{plain_kafka}"}, CONFIG,
        "Kafka at {plain_kafka} does not speak TLS on this port.",
    ),
    "password to a Kafka that asks for none": (
        ["worker"], "worker",
        {"KAFKA": "{plain_kafka}", "KAFKA_SECURITY": "SASL_PLAINTEXT", "KAFKA_CA": ""}, CONFIG,
        "Kafka at {plain_kafka} takes no user names on this port.",
    ),
    "wrong Redis password": (
        ["worker", "lookup 1"], "worker", {"REDIS_PASSWORD": "wrong"}, CONFIG,
        "Redis at {redis} refused user 'worker': wrong user name or password.",
    ),
    "unknown Redis user": (
        ["worker"], "worker", {"REDIS_USERNAME": "nobody"}, CONFIG,
        "Redis at {redis} refused user 'nobody': wrong user name or password.",
    ),
    "no Redis password": (
        ["worker", "lookup 1"], "worker", {"REDIS_USERNAME": "", "SECRETS": "", "KAFKA_PASSWORD": "x"},
        CONFIG, "Redis at {redis} asks for a password. Set EVERSCORE_REDIS_PASSWORD",
    ),
    "Redis's CA unknown": (
        ["worker", "lookup 1"], "worker", {"REDIS_CA": ""}, CONFIG,
        "Redis at {redis} shows a certificate that we do not trust: ",
    ),
    "Redis by another name": (
        ["worker"], "worker", {"REDIS": "rediss://127.1:{redis_port}/0"}, CONFIG,
        "Redis at rediss://127.1:{redis_port}/0 shows a certificate of another name.",
    ),
    "certificate that Redis does not trust": (
        ["worker"], "worker",
        {"REDIS_CERTIFICATE": "{forged}.pem", "REDIS_KEY": "{forged}.key"}, CONFIG,
        "Redis at {redis} refused our certificate: it ",
    ),
    "plaintext to Redis's TLS port": (
        ["worker"], "worker", {"REDIS": "redis://127.0.0.1:{redis_port}/0", "REDIS_CA": ""}, CONFIG,
        "Redis at redis://127.0.0.1:{redis_port}/0 closed the connection. If it speaks TLS only",
    ),
    "TLS to a Redis port without": (
        ["worker"], "worker", {"REDIS": "rediss://{plain_redis}"}, AWAY,
        "Redis at rediss://{plain_redis} does not ",
    ),
    "keys of others": (
        ["lookup 1"], "support", {"KEY_PREFIX": "theirs:"}, CONFIG,
        "Redis at {redis} does not let user 'support' do that: this user has no permissions to "
        "access one of the keys used as arguments. The user's keys must begin with "
        "EVERSCORE_KEY_PREFIX.",
    ),
    "Redis away": (
        ["worker", "lookup 1"], "worker", {"REDIS": "rediss://127.0.0.1:1/0"}, AWAY,
        "Redis at rediss://127.0.0.1:1/0 does not answer: Connection refused.",
    ),
    "Redis user who may only look": (
        ["worker"], "worker", {"REDIS_USERNAME": "support", "REDIS_PASSWORD": "{support}"}, CONFIG,
        "Redis at {redis} does not let user 'support' do that: ",
    ),
    "secrets that are not there": (
        ["worker", "lookup 1", "doctor"], "worker", {"SECRETS": "/nowhere"}, CONFIG,
        "EVERSCORE_SECRETS: /nowhere is not a folder.",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def words(
    stack: LocalStack, machine: StackSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What the cases leave open: addresses, and certificates that are not as they should be."""
    assert stack.secure is not None
    folder = tmp_path_factory.mktemp("forged")
    ca = Authority(
        Certificate(stack.secure.ca.read_bytes(), (stack.secure.folder / "ca.key").read_bytes())
    )
    long_ago = datetime.now(UTC) - timedelta(days=30)
    for name, made in {
        "forged": Authority.create("everscore local stack").issue_client("worker"),
        "ended": ca.issue_client("worker", days=1, now=long_ago),
    }.items():
        (folder / f"{name}.pem").write_bytes(made.certificate)
        (folder / f"{name}.key").write_bytes(made.key)
    with LocalStack(machine=machine) as open_stack:
        yield {
            "kafka": stack.kafka,
            "kafka_port": stack.kafka.rpartition(":")[2],
            "kafka_mtls": stack.kafka_mtls,
            "redis": stack.redis,
            "redis_port": stack.redis.rpartition(":")[2].removesuffix("/0"),
            "plain_kafka": open_stack.kafka,
            "plain_redis": open_stack.redis.removeprefix("redis://"),
            "forged": str(folder / "forged"),
            "ended": str(folder / "ended"),
            "support": stack.secure.password("support", "REDIS"),
        }


@pytest.mark.parametrize("case", CASES)
def test_refusal_is_one_clear_line(stack: LocalStack, words: dict[str, str], case: str) -> None:
    commands, user, changes, code, expected = CASES[case]
    seat = Seat(stack, user)
    filled = {name: value.format(**words) for name, value in changes.items()}
    for command in commands:
        said = seat.run(*command.format(**words).split(), **filled)
        lines = [line for line in said.stderr.splitlines() if not line.startswith("not paced")]
        assert said.returncode == code, (command, said.stdout, said.stderr)
        assert "Traceback" not in said.stderr
        assert expected.format(**words) in lines[-1], command
        # A worker may have said before that it waits; nothing else is said.
        assert all(not line or " WARNING " in line or "━" in line for line in lines[:-1]), said
        assert not any(secret in said.stdout + said.stderr for secret in secrets_of(stack))


# --- The command


def everscore_stack(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "stack", *words],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if "EVERSCORE_" not in name},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_command_brings_up_locks_and_prints_the_keys(stack: LocalStack, tmp_path: Path) -> None:
    where = ["--folder", str(tmp_path / "with space")]
    up = everscore_stack("up", "--secure", "--name", "kafka.test", *where)
    try:
        assert up.returncode == 0, up.stderr
        assert "secure: certificates and passwords are in" in up.stderr
        assert "PASSWORD" not in up.stdout
        everscore = f"{sys.executable} -m ops.cli.main"
        inside = subprocess.run(
            ["sh", "-c", f"{up.stdout}\n{everscore} topics create && {everscore} stack up "
             f"--folder '{tmp_path}/with space' && {everscore} lookup nobody"],
            cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "7 of 7 topics were there" in inside.stdout, inside.stderr
        assert up.stdout in inside.stdout  # as before, whatever the shell was told
        assert inside.returncode == 78  # lookup: nobody was counted yet
        assert "no worker has run against this Redis yet" in inside.stderr
        status = json.loads(everscore_stack("status", "--json", *where).stdout)
        assert (status["up"], status["secure"]) == (True, True)
        opened = everscore_stack("up", "--open", *where)
        assert opened.returncode == 78
        assert "runs already, with passwords and TLS. Stop it first" in opened.stderr
        secrets = [path.read_text() for path in tmp_path.rglob("EVERSCORE_*_PASSWORD")]
        assert len(secrets) == 9
    finally:
        assert everscore_stack("down", *where).returncode == 0
    again = everscore_stack("up", *where)  # as last time
    try:
        assert (again.returncode, again.stdout) == (0, up.stdout), again.stderr
        assert [path.read_text() for path in tmp_path.rglob("EVERSCORE_*_PASSWORD")] == secrets
    finally:
        down = everscore_stack("down", "--wipe", *where)
    assert "removed data and logs" in down.stderr
    assert not (tmp_path / "with space" / "security").exists()


# --- Last, since what is written to topics of the workers' own is nothing that they could read


@pytest.mark.parametrize("user", MAY_WRITE)
def test_users_write_their_topics_and_no_others(seats: dict[str, Any], user: str) -> None:
    assert {topic for topic in TOPICS if written(seats[user], topic)} == MAY_WRITE[user]
