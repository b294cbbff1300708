"""Which servers a test session gets, without starting any."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import ConfigurationError
from tests.support import services as module
from tests.support.services import Addresses, Kind, open_services, wanted
from tests.support.services_report import RAN_ON, report

REAL = {"REQUIRE_REAL_SERVICES": "1"}
GIVEN = {"EVERSCORE_TEST_KAFKA": "kafka:9092", "EVERSCORE_TEST_REDIS": "redis://redis:6379/0"}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[Kind, Any]:
    """Kinds that can be had, by what opens them; as servers that say what they are."""
    monkeypatch.setattr(module, "redis_version", lambda settings: "7.0")
    monkeypatch.setattr(module, "kafka_facts", lambda settings: ("4.3", 6.0))
    openers: dict[Kind, Any] = {}
    for kind in module.OPENERS:

        def refuse(environment: Any, until: ExitStack, kind: Kind = kind) -> Any:
            raise ConfigurationError(f"there is no {kind} here")

        openers[kind] = refuse
    monkeypatch.setattr(module, "OPENERS", openers)
    return openers


def here(environment: Any, until: ExitStack) -> Any:
    return SimpleNamespace(kafka="127.0.0.1:1", redis="redis://127.0.0.1:1/0")


@pytest.mark.parametrize(
    ("environment", "kinds"),
    [
        ({}, [kind for kind in Kind if kind is not Kind.ENV]),
        (REAL, [kind for kind in Kind if kind not in {Kind.ENV, Kind.EMBEDDED}]),
        (GIVEN, [Kind.ENV]),
        (GIVEN | REAL, [Kind.ENV]),
        (GIVEN | {"EVERSCORE_TEST_SERVICES": "local"}, [Kind.LOCAL]),
        ({"EVERSCORE_TEST_SERVICES": "embedded"}, [Kind.EMBEDDED]),
    ],
)
def test_kinds_are_tried_in_their_order_or_as_the_environment_says(
    environment: dict[str, str], kinds: list[Kind]
) -> None:
    assert list(wanted(environment)) == kinds


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"EVERSCORE_TEST_KAFKA": "kafka:9092"}, "EVERSCORE_TEST_KAFKA is set, its other half"),
        ({"EVERSCORE_TEST_SERVICES": "cloud"}, "'cloud' is none of env, .*local, embedded"),
        ({"EVERSCORE_TEST_SERVICES": "embedded"} | REAL, "embedded, but REQUIRE_REAL_SERVICES=1"),
    ],
)
def test_environment_that_contradicts_itself_is_refused(
    environment: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        wanted(environment)


def test_next_kind_is_taken_and_the_summary_says_why_not_the_first(opened: dict[Kind, Any]) -> None:
    opened[Kind.EMBEDDED] = here
    with open_services({}) as services:
        assert services.kind is Kind.EMBEDDED
        assert not services.real
        assert services.refused[-1] == "local: there is no local here"
        passed = SimpleNamespace(nodeid="a", user_properties=[(RAN_ON, services.names)])
        pure = SimpleNamespace(nodeid="b", user_properties=[])
        skipped = SimpleNamespace(nodeid="c", user_properties=[(RAN_ON, services.names)])
        lines = report({"passed": [passed, pure], "skipped": [skipped]}, services)
    assert lines[0].startswith("services: 1 test on librdkafka ")
    assert lines[0].endswith("'s in-memory broker and Redis 7.0 (embedded stack)")
    assert lines[-1] == "services: not on local: there is no local here"


def test_no_real_servers_where_they_must_be_is_an_error_that_names_every_reason(
    opened: dict[Kind, Any],
) -> None:
    opened[Kind.EMBEDDED] = here
    with pytest.raises(ConfigurationError, match="there is no local here"), open_services(REAL):
        pass


def test_named_kind_that_cannot_be_had_is_replaced_by_no_other(opened: dict[Kind, Any]) -> None:
    opened[Kind.EMBEDDED] = here
    with (
        pytest.raises(ConfigurationError, match="there is no local here"),
        open_services({"EVERSCORE_TEST_SERVICES": "local"}),
    ):
        pass


def test_given_addresses_are_used_with_the_shortest_session_they_grant(
    opened: dict[Kind, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened[Kind.ENV] = lambda environment, until: Addresses("kafka:9092", "redis://redis:6379/0")
    monkeypatch.setattr(module.Services, "tidy", lambda services: None)
    with open_services(GIVEN) as services:
        assert (services.kafka, services.redis) == ("kafka:9092", "redis://redis:6379/0")
        assert services.session_seconds == 6.0
        assert services.names == "Apache Kafka 4.3 and Redis 7.0 (addresses in the environment)"
        assert services.new_name() != services.new_name()
