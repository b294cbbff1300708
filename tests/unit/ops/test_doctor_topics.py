"""What the doctor says of topics, their copies and their partitions."""

from dataclasses import replace

import pytest

from ops.doctor.finding import Verdict
from ops.doctor.installation import check_installation, check_partitions
from ops.doctor.kafka_facts import (
    FORBIDDEN,
    MISSING,
    GroupFacts,
    LogFacts,
    PartitionFacts,
    TopicFacts,
)
from ops.doctor.topics import TOPIC_FIELDS, check_topics
from ops.stack.topics import declared_topics
from tests.support.doctor_facts import FOUNDED, PARTITIONS, REMEDIES, SETTINGS, kafka, topic

KINDS = {kind: getattr(SETTINGS, field) for field, kind in TOPIC_FIELDS.items()}


def look(*ill, **changes):
    """Findings by kind of topic."""
    facts = kafka(*ill, **changes)
    return {one.label: one for one in check_topics(facts, SETTINGS, FOUNDED, REMEDIES)}


def copies(name, *partitions):
    return replace(topic(name), partitions=partitions)


def test_topics_as_declared_are_ok():
    found = look()
    assert set(found) == set(KINDS)
    assert {one.verdict for one in found.values()} == {Verdict.OK}
    assert found["transactions"].found == (
        "4 partitions, 3 copies, kept for ever, records up to 1.1 MB, stamped by producers"
    )
    assert found["changes"].found == "4 partitions, 3 copies, kept 7 days"
    assert found["samples"].found == "1 partition, 3 copies, compacted"


@pytest.mark.parametrize("kind", KINDS)
def test_missing_topic_fails_and_is_created_by_a_command(kind):
    finding = look(TopicFacts(KINDS[kind], refused=MISSING))[kind]
    assert finding.verdict is Verdict.FAIL
    assert repr(KINDS[kind]) in finding.found
    create = "everscore topics create --partitions 4"
    assert finding.mends[0].run == (f"{create} --replication 3",)
    alone = look(TopicFacts(KINDS[kind], refused=MISSING), nodes=(1,))[kind]
    assert alone.mends[0].run == (create,)


def test_hidden_topic_is_unknown():
    finding = look(TopicFacts("scorecards", refused=FORBIDDEN))["scorecards"]
    assert finding.verdict is Verdict.UNKNOWN


def test_topic_whose_settings_are_hidden_is_unknown_with_the_reason():
    found = look(
        replace(topic("transactions"), settings=None), silent={"topic_settings": "not for you"}
    )
    assert found["transactions"].verdict is Verdict.UNKNOWN
    assert "not for you" in found["transactions"].found


def test_topic_whose_settings_are_not_for_us_is_unknown_and_says_so():
    found = look(replace(topic("transactions"), settings=None))
    assert "we may not ask for them" in found["transactions"].found


@pytest.mark.parametrize(
    ("kind", "changes", "verdict", "said"),
    [
        ("transactions", {"retention_ms": "604800000"}, Verdict.FAIL, "purchases after 7 days"),
        ("rekeyed", {"retention_ms": "3600000"}, Verdict.FAIL, "purchases after 1 hour"),
        ("transactions", {"retention_bytes": "1073741824"}, Verdict.FAIL, "purchases after 1 GB"),
        (
            "transactions",
            {"cleanup_policy": "compact"},
            Verdict.FAIL,
            "last of the purchases of each customer",
        ),
        (
            "rekeyed",
            {"cleanup_policy": "compact,delete"},
            Verdict.FAIL,
            "last of the purchases of each customer",
        ),
        ("dead-letter", {"retention_ms": "604800000"}, Verdict.WARNING, "forgets after 7 days"),
        ("dead-letter", {"cleanup_policy": "compact"}, Verdict.WARNING, "one letter a customer"),
        ("journal", {"cleanup_policy": "compact"}, Verdict.FAIL, "marks of each partition"),
        ("journal", {"retention_ms": "604800000"}, Verdict.FAIL, "deletes marks after 7 days"),
        ("scorecards", {"cleanup_policy": "delete"}, Verdict.FAIL, "in use may be deleted"),
        ("samples", {"cleanup_policy": "delete"}, Verdict.WARNING, "learner's sample"),
        ("samples", {"segment_bytes": "1073741824"}, Verdict.WARNING, "reads up to 1 GB of old"),
        ("transactions", {"max_message_bytes": "1048588"}, Verdict.WARNING, "up to 1 MB, less"),
        ("rekeyed", {"max_message_bytes": "1048588"}, Verdict.FAIL, "must go home"),
        ("dead-letter", {"max_message_bytes": "1048588"}, Verdict.FAIL, "stands still"),
        ("dead-letter", {"max_message_bytes": "2097152"}, Verdict.WARNING, "more than 2 MB"),
    ],
)
def test_setting_that_differs_is_named_with_its_value_and_its_mend(kind, changes, verdict, said):
    name = KINDS[kind]
    finding = look(topic(name, **changes))[kind]
    ((key, value),) = changes.items()
    setting = key.replace("_", ".")
    assert finding.verdict is verdict
    assert f"{setting}={value}" in finding.found
    assert said in finding.found
    declared = next(one for one in declared_topics(SETTINGS, PARTITIONS) if one.name == name)
    assert finding.mends[0].run == (
        "kafka-configs.sh --bootstrap-server broker:9092 --alter --entity-type topics "
        f"--entity-name {name} --add-config {setting}={declared.settings[setting]}",
    )


@pytest.mark.parametrize("kind", ["transactions", "rekeyed", "dead-letter"])
def test_larger_records_than_declared_are_no_difference(kind):
    assert look(topic(KINDS[kind], max_message_bytes="99999999"))[kind].verdict is Verdict.OK


def test_changes_may_have_any_number_of_partitions():
    wide = copies("segment-changes", *(PartitionFacts(1, 3, 3),) * 64)
    assert look(wide)["changes"].verdict is Verdict.OK


def test_journal_needs_a_partition_for_each_and_gets_the_rest():
    finding = look(copies("partition-journal", *(PartitionFacts(1, 3, 3),) * 3))["journal"]
    assert finding.verdict is Verdict.FAIL
    assert "3 partitions, but each of 4 writes to its own" in finding.found
    assert finding.mends[0].run == (
        "kafka-topics.sh --bootstrap-server broker:9092 --alter --topic partition-journal "
        "--partitions 4",
    )
    assert look(copies("partition-journal", *(PartitionFacts(1, 3, 3),) * 9))[
        "journal"
    ].verdict is (Verdict.OK)


def test_scorecards_beyond_the_first_partition_are_told_to_be_unread():
    finding = look(copies("scorecards", *(PartitionFacts(1, 3, 3),) * 2))["scorecards"]
    assert finding.verdict is Verdict.WARNING
    assert "2 partitions, of which the first alone is read back" in finding.found


def test_records_that_are_gone_are_counted():
    logs = {("transactions", 0): LogFacts(1_200, 1_300), ("transactions", 1): LogFacts(34, 40)}
    finding = look(logs=logs)["transactions"]
    assert finding.verdict is Verdict.WARNING
    assert "first 1,234 records are gone" in finding.found


# --- copies


@pytest.mark.parametrize(
    ("partitions", "asked", "verdict", "said"),
    [
        ([PartitionFacts(-1, 3, 1), PartitionFacts(1, 3, 3)], "2", Verdict.FAIL, "no leader for"),
        (
            [PartitionFacts(1, 3, 3), PartitionFacts(1, 3, 1)],
            "2",
            Verdict.FAIL,
            "partition 1 takes",
        ),
        ([PartitionFacts(1, 1, 1)], "2", Verdict.FAIL, "min.insync.replicas=2, but 1 copy"),
        (
            [PartitionFacts(1, 3, 3), PartitionFacts(1, 3, 2)],
            "2",
            Verdict.WARNING,
            "partition 1 lacks",
        ),
        ([PartitionFacts(1, 1, 1)], "1", Verdict.WARNING, "1 copy on 3 brokers"),
        ([PartitionFacts(1, 2, 2)], "2", Verdict.WARNING, "2 of 2 copies"),
        ([PartitionFacts(1, 3, 3)], "1", Verdict.WARNING, "when one broker has it"),
        ([PartitionFacts(1, 2, 2)], "1", Verdict.OK, "2 copies"),
    ],
)
def test_copies_are_judged_against_what_is_asked_for(partitions, asked, verdict, said):
    ill = replace(topic("transactions", min_insync_replicas=asked), partitions=tuple(partitions))
    finding = look(ill)["transactions"]
    assert finding.verdict is verdict
    assert said in finding.found


def test_partition_that_waits_for_a_broker_is_unreachable_and_one_that_never_can_is_not():
    headless = look(copies("transactions", PartitionFacts(-1, 3, 0)))["transactions"]
    assert headless.unreachable
    hopeless = look(copies("transactions", PartitionFacts(1, 1, 1)))["transactions"]
    assert hopeless.verdict is Verdict.FAIL
    assert not hopeless.unreachable


def test_single_copy_on_a_single_broker_is_told_once_and_not_by_every_topic():
    alone = [topic(name, copies=1, min_insync_replicas="1") for name in KINDS.values()]
    assert {one.verdict for one in look(*alone, nodes=(1,)).values()} == {Verdict.OK}


# --- partitions and installation


def partitions(transactions, rekeyed, founded=FOUNDED):
    facts = kafka(
        copies("transactions", *(PartitionFacts(1, 3, 3),) * transactions),
        copies("transactions.rekeyed", *(PartitionFacts(1, 3, 3),) * rekeyed),
    )
    return check_partitions(facts, SETTINGS, founded, REMEDIES)


def test_equal_partitions_as_founded_are_ok():
    assert partitions(4, 4).verdict is Verdict.OK
    assert partitions(4, 4).found.endswith("as founded")
    assert partitions(6, 6, {}).verdict is Verdict.OK


def test_rekeyed_with_too_few_partitions_gets_the_rest():
    finding = partitions(4, 3)
    assert finding.verdict is Verdict.FAIL
    assert "transactions.rekeyed has 3, transactions has 4" in finding.found
    assert finding.mends[0].run == (
        "kafka-topics.sh --bootstrap-server broker:9092 --alter --topic transactions.rekeyed "
        "--partitions 4",
    )


def test_rekeyed_with_too_many_partitions_is_made_anew():
    finding = partitions(4, 5)
    assert "transactions.rekeyed has 5" in finding.found
    deletes, creates = finding.mends[0].run
    assert "--delete --topic transactions.rekeyed" in deletes
    assert creates == "everscore topics create --partitions 4 --replication 3"


def test_partitions_added_after_the_founding_fail_once():
    finding = partitions(6, 6)
    assert finding.verdict is Verdict.FAIL
    assert "transactions has 6, but the installation was founded with 4" in finding.found
    assert len(finding.mends) == 1
    assert finding.values == {
        "partitions": {"transactions": 6, "transactions.rekeyed": 6},
        "founded": 4,
    }


def test_partitions_are_unknown_while_a_topic_is_missing():
    facts = kafka(TopicFacts("transactions.rekeyed", refused=MISSING))
    finding = check_partitions(facts, SETTINGS, FOUNDED, REMEDIES)
    assert finding.verdict is Verdict.UNKNOWN


def test_installation_not_founded_yet_is_ok():
    for group in (None, GroupFacts(), GroupFacts("Empty")):
        finding = check_installation(SETTINGS, {}, group)
        assert finding.verdict is Verdict.OK
        assert "none yet" in finding.found


def test_emptied_redis_is_noticed_by_what_its_workers_told_kafka():
    group = GroupFacts("Empty", committed={("transactions", 0): 1_200, ("transactions", 1): 34})
    finding = check_installation(SETTINGS, {}, group)
    assert finding.verdict is Verdict.WARNING
    assert "have counted 1,234 records" in finding.found


@pytest.mark.parametrize(("fact", "value"), [("currency", "EUR"), ("timezone", "Europe/London")])
def test_installation_founded_with_another_setting_fails_and_says_what_to_set(fact, value):
    assert check_installation(SETTINGS, FOUNDED, None).verdict is Verdict.OK
    finding = check_installation(SETTINGS, FOUNDED | {fact: value}, None)
    assert finding.verdict is Verdict.FAIL
    assert value in finding.found
    assert finding.mends[0].run == (f"export EVERSCORE_{fact.upper()}={value}",)
