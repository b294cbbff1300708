"""What each user may read, write, join and change in Kafka, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
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

from ops.security.certificates import Authority, Certificate
from ops.security.kafka_users import acl_of
from ops.security.profile import USERS
from ops.security.roles import kafka_acls
from ops.stack.local import LocalStack
from tests.support.seat import (
    SETTINGS,
    TOPICS,
    Seat,
)

pytestmark = pytest.mark.integration


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
    "eraser": {"transactions.dead-letter"},
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
    "eraser": {"transactions", "transactions.dead-letter"},
    "stranger": set(),
}
GROUP = {"worker": "everscore", "reader": "offers-test"}


ANOTHER_CENTURY_MS = 4_200_000_000_000
FORBIDDEN = KafkaError.TOPIC_AUTHORIZATION_FAILED


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
    """Whether a record may be written to a topic.

    Its timestamp is that of another century, which Kafka looks at after the rights: nobody else
    comes to read it.
    """
    refused: list[KafkaError] = []
    producer = Producer({**config, "message.timeout.ms": 20_000, "enable.idempotence": False})
    producer.produce(
        topic,
        b"",
        b"key",
        timestamp=ANOTHER_CENTURY_MS,
        on_delivery=lambda why, _: refused.append(why),
    )
    assert producer.flush(30) == 0
    assert refused[0].code() in {KafkaError.INVALID_TIMESTAMP, FORBIDDEN}, refused
    return refused[0].code() == KafkaError.INVALID_TIMESTAMP


def read(config: dict[str, Any], topic: str) -> bool:
    """Whether a topic's first partition can be read."""
    patience = {"enable.partition.eof": True, "topic.metadata.propagation.max.ms": 100}
    consumer = Consumer({**config, "group.id": "any", "enable.auto.commit": False, **patience})
    deadline = time.monotonic() + 30
    try:
        described = consumer.list_topics(topic, timeout=30).topics[topic].error
        if described is not None:
            assert described.code() == FORBIDDEN, described
            return False
        consumer.assign([TopicPartition(topic, 0, 0)])
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            error = None if message is None else message.error()
            if error is not None and error.code() == FORBIDDEN:
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
    for user in ("worker", "producer", "reader", "support", "auditor", "eraser", "stranger"):
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


@pytest.mark.parametrize("user", MAY_WRITE)
def test_users_write_their_topics_and_no_others(seats: dict[str, Any], user: str) -> None:
    assert {topic for topic in TOPICS if written(seats[user], topic)} == MAY_WRITE[user]
