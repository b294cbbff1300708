"""The doctor among users and ACLs: every role passes for what it is, and for nothing else."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from ops.kafka_admin import open_admin
from ops.security.door import SecureDoor
from ops.security.profile import Profile
from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from ops.stack.topics import declared_topics
from schemas.errors import ConfigurationError
from streams.settings import Settings
from tests.support.seat import Seat

pytestmark = pytest.mark.integration
ROLES_AT_REDIS = {"worker", "support", "auditor"}


@pytest.fixture(scope="module")
def stack(machine: StackSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Servers that let in only those they know."""
    profile = Profile(tmp_path_factory.mktemp("doctor") / "security")
    try:
        SecureDoor(profile).redis_executable()
    except ConfigurationError as error:
        if os.environ.get("REQUIRE_REAL_SERVICES") == "1":
            pytest.fail(f"REQUIRE_REAL_SERVICES=1, but: {error}")
        pytest.skip(f"no secure stack here: {error}")
    topics = declared_topics(Settings.model_construct(), 3)
    with LocalStack(machine=machine, topics=topics, secure=profile) as running:
        yield running


def doctor(
    stack: LocalStack, user: str, role: str, **changes: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and checks by name."""
    seat = Seat(stack, user)
    run = seat.run("doctor", "--json", "--role", role, **changes)
    for server in ("KAFKA", "REDIS"):
        if seat.profile.knows(user, server):
            assert seat.profile.password(user, server) not in run.stdout + run.stderr
    assert run.stderr == ""
    return run.returncode, {check["name"]: check for check in json.loads(run.stdout)["checks"]}


@pytest.mark.parametrize("role", ["worker", "support", "producer", "reader", "auditor"])
def test_every_role_has_all_that_it_needs_and_no_more(stack, role):
    code, checks = doctor(stack, role, role)
    assert code == 0, checks
    assert checks["permissions.kafka"]["verdict"] == "ok"
    assert checks["permissions.kafka"]["values"]["beyond"] == []
    assert ("permissions.redis" in checks) is (role in ROLES_AT_REDIS)
    if role in ROLES_AT_REDIS:
        assert checks["permissions.redis"]["verdict"] == "ok"


async def test_asking_for_a_group_makes_no_topic_of_groups_even_where_it_is_hidden(stack):
    for role in ("worker", "support"):
        assert (await asyncio.to_thread(doctor, stack, role, role))[0] == 0
    async with open_admin(stack.kafka_mtls, stack.secure.admin_access()) as admin:
        assert set(await admin.list_topics()) == {topic.name for topic in stack.topics}


@pytest.mark.parametrize("role", ["worker", "support"])
def test_worker_and_support_see_every_topic_and_its_settings(stack, role):
    _, checks = doctor(stack, role, role)
    topics = {name: check["verdict"] for name, check in checks.items() if "topic." in name}
    assert len(topics) == len(declared_topics(Settings.model_construct(), 3))
    assert set(topics.values()) == {"ok"}


def test_support_is_no_worker_and_is_told_what_it_lacks(stack):
    code, checks = doctor(stack, "support", "worker")
    assert code == 78
    kafka, redis = checks["permissions.kafka"], checks["permissions.redis"]
    assert kafka["values"]["refused"]["topic transactions.rekeyed"] == ["READ", "WRITE"]
    assert kafka["mends"][0]["run"][0].endswith(
        "--add --allow-principal User:support --operation Read --topic transactions"
    )
    assert "MULTI" in redis["values"]["refused"]
    assert "+hset" in redis["mends"][0]["run"][0]


def test_producer_of_a_topic_that_is_not_theirs_is_told_so(stack):
    code, checks = doctor(stack, "producer", "producer", TRANSACTIONS_TOPIC="segment-changes")
    assert code == 78
    refused = checks["permissions.kafka"]["values"]["refused"]
    assert refused == {"topic segment-changes": ["WRITE"]}
    assert checks["topic.transactions"]["verdict"] == "unknown"


def test_wrong_passwords_are_one_line_each_and_no_reason_to_wait(stack):
    wrong = {"KAFKA_PASSWORD": "not-it", "REDIS_PASSWORD": "not-it"}
    code, checks = doctor(stack, "worker", "worker", **wrong)
    assert code == 78
    failed = {name: check for name, check in checks.items() if check["verdict"] == "fail"}
    assert set(failed) == {"kafka.answers", "redis.answers"}
    for check in failed.values():
        assert "wrong user name or password" in check["found"]
        assert not check["unreachable"]
        assert "not-it" not in json.dumps(check)
