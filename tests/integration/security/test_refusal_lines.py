"""Who is refused reads one clear line, with an exit code and no traceback, from every command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Producer

from ops.security.certificates import Authority, Certificate
from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from tests.support.seat import (
    AWAY,
    CONFIG,
    SETTINGS,
    WAIT_SECONDS_MAX,
    Seat,
    secrets_of,
)

pytestmark = pytest.mark.integration


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
    # Nobody is refused at an empty topic.
    producer = Producer(Seat(stack, "producer").kafka())
    producer.produce(SETTINGS.transactions_topic, b"no transaction")
    assert producer.flush(WAIT_SECONDS_MAX) == 0
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
