"""What the doctor says of brokers and of who they let do what."""

from dataclasses import replace

import pytest

from ops.doctor.brokers import check_answers, check_brokers, check_session, check_version
from ops.doctor.finding import Verdict
from ops.doctor.kafka_facts import BrokerFacts, GroupFacts
from ops.doctor.permissions import check_kafka_permissions
from ops.security.roles import KAFKA_GRANTS, Role
from tests.support.doctor_facts import ALL, REMEDIES, SETTINGS, kafka, topic

MODERN = {11: 9, 22: 5}


def test_healthy_brokers_are_ok_and_named_with_their_values():
    facts = kafka()
    assert check_answers(facts, SETTINGS).found == "broker:9092 in 3 ms, cluster cluster"
    assert check_version(facts, REMEDIES).found == "4.3 (2.3 or newer is needed)"
    assert check_brokers(facts).found == "3 brokers"
    assert "6 seconds to 30 minutes" in check_session(facts, SETTINGS).found
    for finding in (
        check_answers(facts, SETTINGS),
        check_version(facts, REMEDIES),
        check_brokers(facts),
        check_session(facts, SETTINGS),
    ):
        assert (finding.verdict, finding.mends) == (Verdict.OK, ())


def test_address_that_does_not_answer_beside_one_that_does_is_a_warning():
    refused = "Kafka at other:9092 does not answer: refused."
    facts = kafka(silent_addresses={"other:9092": refused, "third:9092": refused})
    finding = check_answers(facts, SETTINGS)
    assert finding.verdict is Verdict.WARNING
    assert "other:9092" in finding.found
    assert finding.values["silent"] == ["other:9092", "third:9092"]
    assert len(finding.mends) == 1


def test_slow_answer_is_a_warning_with_the_time():
    finding = check_answers(kafka(milliseconds=1_500.0), SETTINGS)
    assert finding.verdict is Verdict.WARNING
    assert "1.5 seconds" in finding.found


@pytest.mark.parametrize(
    ("brokers", "verdict", "found"),
    [
        ([BrokerFacts(1, MODERN, 19, 19)], Verdict.OK, "3.7 "),
        ([BrokerFacts(1, MODERN, 99, 99)], Verdict.OK, "newer than 4.3 "),
        ([BrokerFacts(1, MODERN | {44: 0, 60: 0})], Verdict.OK, "2.8 or newer "),
        ([BrokerFacts(1, {11: 4, 22: 0, 44: 0})], Verdict.FAIL, "older than 2.3 (node 1)"),
        ([BrokerFacts(7, {11: 9}, 30, 30)], Verdict.FAIL, "(node 7)"),
        (
            [BrokerFacts(1, MODERN, 30, 25), BrokerFacts(2, MODERN, 25, 25)],
            Verdict.WARNING,
            "several versions: 4.0, 4.3",
        ),
        (
            [BrokerFacts(1, MODERN, 30, 27)],
            Verdict.WARNING,
            "4.3, but the cluster still behaves as 4.1",
        ),
        ([BrokerFacts(1, MODERN)], Verdict.UNKNOWN, "not told"),
        ([], Verdict.UNKNOWN, "not known: it was away"),
    ],
)
def test_version_is_judged_by_what_brokers_support_and_use(brokers, verdict, found):
    facts = kafka(brokers=tuple(brokers), silent={"versions": "it was away"})
    finding = check_version(facts, REMEDIES)
    assert finding.verdict is verdict
    assert found in finding.found


def test_unfinished_upgrade_is_mended_by_a_command():
    finding = check_version(kafka(brokers=(BrokerFacts(1, MODERN, 30, 27),)), REMEDIES)
    assert finding.mends[0].run == (
        "kafka-features.sh --bootstrap-server broker:9092 upgrade --release-version 4.3",
    )


def test_broker_that_kafka_counts_on_and_that_does_not_answer_is_unreachable():
    alive = kafka().brokers[:2]
    finding = check_brokers(kafka(brokers=alive, silent={"versions": "refused"}))
    assert (finding.verdict, finding.unreachable) == (Verdict.FAIL, True)
    assert "3 brokers, of which node 3 does not answer: refused" in finding.found
    not_asked = kafka(brokers=alive, asked_nodes=(1, 2))
    assert check_brokers(not_asked).verdict is Verdict.OK


def test_one_broker_alone_is_a_warning():
    finding = check_brokers(kafka(nodes=(1,)))
    assert finding.verdict is Verdict.WARNING
    assert "one copy" in finding.found


@pytest.mark.parametrize(
    ("seconds", "setting", "mend"),
    [(3.0, "6 seconds to 30 minutes", "6"), (3_600.0, "6 seconds to 30 minutes", "1800")],
)
def test_session_timeout_that_brokers_refuse_fails_and_names_the_nearest_they_accept(
    seconds, setting, mend
):
    settings = SETTINGS.model_copy(update={"session_timeout_seconds": seconds})
    finding = check_session(kafka(), settings)
    assert finding.verdict is Verdict.FAIL
    assert f"EVERSCORE_SESSION_TIMEOUT_SECONDS={seconds:g}" in finding.found
    assert setting in finding.found
    assert finding.mends[0].run == (f"export EVERSCORE_SESSION_TIMEOUT_SECONDS={mend}",)


@pytest.mark.parametrize("told", [None, {}, {"group.min.session.timeout.ms": None}])
def test_session_timeout_is_unknown_where_brokers_hide_theirs(told):
    finding = check_session(kafka(settings=told), SETTINGS)
    assert finding.verdict is Verdict.UNKNOWN


# --- permissions


def without(operation, name):
    return replace(topic(name), operations=ALL - {operation})


def test_worker_with_all_its_rights_is_ok():
    finding = check_kafka_permissions(kafka(), SETTINGS, Role.WORKER, REMEDIES)
    assert (finding.verdict, finding.found) == (Verdict.OK, "all that role worker needs")


@pytest.mark.parametrize(
    "grant",
    [grant for grant in KAFKA_GRANTS if grant.role is Role.WORKER and grant.kind == "topic"],
    ids=lambda grant: grant.name,
)
def test_each_right_a_worker_lacks_fails_and_is_mended_by_its_acl(grant):
    name = getattr(SETTINGS, grant.name)
    for operation in set(grant.operations) - {"DESCRIBE_CONFIGS"}:
        facts = kafka(without(operation, name))
        finding = check_kafka_permissions(facts, SETTINGS, Role.WORKER, REMEDIES)
        assert finding.verdict is Verdict.FAIL
        assert f"{operation} on topic {name}" in finding.found
        assert f"--operation {operation.title()} --topic {name}" in finding.mends[0].run[0]
        assert not finding.unreachable


def test_hidden_topic_and_group_lack_every_right():
    hidden = replace(topic("scorecards"), refused="TopicAuthorizationFailed", operations=None)
    facts = kafka(hidden, group=GroupFacts(refused="GroupAuthorizationFailed"))
    finding = check_kafka_permissions(facts, SETTINGS, Role.WORKER, REMEDIES)
    assert finding.values["refused"] == {
        "topic scorecards": ["READ", "WRITE"],
        "group everscore": ["READ"],
    }


def test_rights_that_kafka_does_not_tell_are_unknown():
    silent = [replace(one, operations=None) for one in kafka().topics.values()]
    facts = kafka(*silent, group=None)
    finding = check_kafka_permissions(facts, SETTINGS, Role.WORKER, REMEDIES)
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.found == "Kafka does not tell what we may do"


def test_group_that_kafka_does_not_tell_of_is_unknown_and_the_rest_is_judged():
    finding = check_kafka_permissions(kafka(group=None), SETTINGS, Role.WORKER, REMEDIES)
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.found == "Kafka does not tell what we may do with group everscore"


def test_group_that_never_was_tells_nothing_and_is_no_worry():
    finding = check_kafka_permissions(kafka(group=GroupFacts()), SETTINGS, Role.WORKER, REMEDIES)
    assert finding.verdict is Verdict.OK
    assert "with its first member" in finding.found


def test_producer_needs_to_write_transactions_and_nothing_else():
    nothing = [replace(one, operations=frozenset()) for one in kafka().topics.values()]
    writes = replace(topic("transactions"), operations=frozenset({"WRITE"}))
    good = check_kafka_permissions(kafka(*nothing, writes), SETTINGS, Role.PRODUCER, REMEDIES)
    assert good.verdict is Verdict.OK
    bad = check_kafka_permissions(kafka(*nothing), SETTINGS, Role.PRODUCER, REMEDIES)
    assert bad.values["refused"] == {"topic transactions": ["WRITE"]}


def test_rights_beyond_the_role_are_told():
    powerful = replace(topic("transactions"), operations=ALL | {"DELETE"})
    finding = check_kafka_permissions(kafka(powerful), SETTINGS, Role.WORKER, REMEDIES)
    assert finding.verdict is Verdict.OK
    assert "deleting topics" in finding.found
