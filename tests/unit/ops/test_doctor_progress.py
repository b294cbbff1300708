"""What the doctor says of positions, lag, workers and clocks."""

from dataclasses import replace

import pytest

from ops.doctor.clocks import check_records_clock, check_redis_clock
from ops.doctor.finding import Verdict
from ops.doctor.kafka_facts import GroupFacts, LogFacts, MemberFacts
from ops.doctor.progress import LAG_RECORDS_MAX, check_lag, check_positions, check_workers
from tests.support.doctor_facts import NOW_MS, SETTINGS, checkpoints, kafka, redis


def moved(offset, partition=2, topic="transactions"):
    """Checkpoints of which one goes on elsewhere."""
    usual = checkpoints()
    return usual | {partition: usual[partition].moved(topic, offset)}


def logs(**changes):
    usual = kafka().logs
    return {where: replace(log, **changes) for where, log in usual.items()}


def test_positions_within_the_log_are_ok_to_its_very_edges():
    for offset, earliest in ((100, 0), (0, 0), (40, 40)):
        finding = check_positions(
            kafka(logs=logs(earliest=earliest)), SETTINGS, checkpoints(offset)
        )
        assert (finding.verdict, finding.found) == (Verdict.OK, "all 8 lie within the log")


@pytest.mark.parametrize("topic", SETTINGS.input_topics)
def test_position_beyond_the_log_fails_and_names_partition_and_offsets(topic):
    finding = check_positions(kafka(), SETTINGS, moved(1_234, 2, topic))
    assert finding.verdict is Verdict.FAIL
    assert f"{topic}-2 goes on at 1,234, the log holds 0 to 100" in finding.found
    assert "made anew" in finding.mends[0].say
    assert finding.mends[0].run == (
        "export EVERSCORE_KEY_PREFIX=again: EVERSCORE_GROUP=everscore-again",
    )


def test_position_before_the_log_fails_as_lost():
    finding = check_positions(
        kafka(logs=logs(earliest=50)), SETTINGS, moved(49, 3) | {0: checkpoints()[0]}
    )
    assert finding.verdict is Verdict.FAIL
    assert "transactions-3 goes on at 49, the log holds 50 to 100" in finding.found
    assert "deleted before they were counted" in finding.mends[0].say


def test_new_installation_on_a_log_that_begins_later_is_ok_unless_it_counted_before():
    cut = kafka(logs=logs(earliest=50))
    assert check_positions(cut, SETTINGS, moved(0)).verdict is Verdict.OK
    counted_before = GroupFacts("Empty", committed={("transactions", 2): 70})
    finding = check_positions(replace(cut, group=counted_before), SETTINGS, moved(0))
    assert finding.verdict is Verdict.FAIL
    assert "transactions-2 was counted to 70, the log begins at 50" in finding.found
    assert "Restore Redis" in finding.mends[0].say


def test_many_bad_positions_are_counted_and_not_all_listed():
    finding = check_positions(kafka(), SETTINGS, checkpoints(500))
    assert "and 5 more" in finding.found
    assert len(finding.values["beyond_the_log"]) == 8


def test_position_of_a_partition_that_is_not_there_is_unknown():
    there = {where: log for where, log in kafka().logs.items() if where != ("transactions", 1)}
    finding = check_positions(kafka(logs=there), SETTINGS, checkpoints())
    assert finding.verdict is Verdict.UNKNOWN
    assert "transactions-1" in finding.found
    lag = check_lag(kafka(logs=there), SETTINGS, checkpoints())
    assert (lag.verdict, lag.found) == (Verdict.UNKNOWN, "at least 0 records to count")


def test_without_the_logs_positions_and_lag_are_unknown_with_the_reason():
    facts = kafka(logs=None, silent={"logs": "no answer within 2.5 s"})
    for check in (check_positions, check_lag):
        finding = check(facts, SETTINGS, checkpoints())
        assert finding.verdict is Verdict.UNKNOWN
        assert "no answer within 2.5 s" in finding.found


def test_lag_is_what_lies_between_positions_and_ends_of_the_log():
    assert check_lag(kafka(), SETTINGS, checkpoints()).found == "0 records to count"
    some = check_lag(kafka(), SETTINGS, moved(90))
    assert (some.verdict, some.found) == (Verdict.OK, "10 records to count")
    never_read = check_lag(kafka(logs=logs(earliest=60)), SETTINGS, moved(0))
    assert never_read.values["by_partition"] == {0: 0, 1: 0, 2: 40, 3: 0}


def test_large_lag_is_a_warning_that_names_the_worst_partition():
    far = kafka().logs | {("transactions", 3): LogFacts(0, LAG_RECORDS_MAX + 101)}
    finding = check_lag(kafka(logs=far), SETTINGS, checkpoints())
    assert finding.verdict is Verdict.WARNING
    assert "100,001 of them in partition 3" in finding.found


# --- workers


def workers(group, founded=True):
    return check_workers(kafka(group=group), checkpoints() if founded else {}, founded=founded)


def member(*partitions):
    return MemberFacts("host", partitions)


def test_workers_that_share_all_partitions_are_ok_and_named_with_theirs():
    finding = workers(kafka().group)
    assert finding.verdict is Verdict.OK
    assert finding.found == "2 workers: worker-0 has 0, 1, worker-1 has 2, 3"


def test_worker_without_a_partition_is_told():
    finding = workers(GroupFacts("Stable", (member(0, 1, 2, 3), member())))
    assert finding.verdict is Verdict.OK
    assert "1 idle" in finding.found


def test_partition_that_nobody_reads_is_a_warning():
    finding = workers(GroupFacts("Stable", (member(0, 2), member())))
    assert finding.verdict is Verdict.WARNING
    assert "nobody reads partition 1, 3" in finding.found


def test_no_worker_is_a_warning_once_founded_and_none_before():
    for state in ("", "Dead", "Empty"):
        stopped = workers(GroupFacts(state))
        assert stopped.verdict is Verdict.WARNING
        assert stopped.mends[0].run == ("everscore worker",)
        assert workers(GroupFacts(state), founded=False).verdict is Verdict.OK


def test_rebalance_is_a_warning_and_its_empty_assignments_are_not():
    finding = workers(GroupFacts("PreparingRebalance", (member(),)))
    assert finding.verdict is Verdict.WARNING
    assert "PreparingRebalance" in finding.found
    assert "nobody reads" not in finding.found


def test_group_that_is_not_described_is_unknown_and_last_owners_are_told():
    facts = kafka(group=None, silent={"group": "the broker describes no groups"})
    finding = check_workers(facts, checkpoints(), founded=True)
    assert finding.verdict is Verdict.UNKNOWN
    assert "the broker describes no groups; last owners: worker-0 has 0, 1" in finding.found
    assert workers(GroupFacts(refused="GroupAuthorizationFailed")).verdict is Verdict.UNKNOWN


# --- clocks


@pytest.mark.parametrize(
    ("ahead", "verdict", "said"),
    [
        (0.4, Verdict.OK, "within 400 ms of ours"),
        (1.5, Verdict.WARNING, "1.5 seconds ahead of ours"),
        (
            -7_000.0,
            Verdict.FAIL,
            "1.9 hours behind ours, more than EVERSCORE_LIVE_WITHIN_SECONDS=3600",
        ),
    ],
)
def test_skew_between_redis_and_us_is_judged_by_what_scoring_tolerates(ahead, verdict, said):
    finding = check_redis_clock(redis(ahead_seconds=ahead), SETTINGS)
    assert finding.verdict is verdict
    assert said in finding.found
    assert bool(finding.mends) is (verdict is not Verdict.OK)


def test_smaller_of_both_tolerances_is_the_one_that_counts():
    strict = SETTINGS.model_copy(update={"future_seconds_max": 60.0})
    finding = check_redis_clock(redis(ahead_seconds=61.0), strict)
    assert finding.verdict is Verdict.FAIL
    assert "EVERSCORE_FUTURE_SECONDS_MAX=60" in finding.found


def test_skew_that_may_be_the_network_is_no_skew():
    assert (
        check_redis_clock(redis(ahead_seconds=1.5, error_seconds=0.8), SETTINGS).verdict
        is Verdict.OK
    )


def test_redis_clock_is_unknown_where_info_is_forbidden():
    assert check_redis_clock(redis(ahead_seconds=None), SETTINGS).verdict is Verdict.UNKNOWN


def records(newest_ms, stamped_by="CreateTime"):
    facts = kafka(logs=kafka().logs | {("transactions", 1): LogFacts(0, 9, newest_ms)})
    return check_records_clock(facts, {"transactions": stamped_by})


def test_newest_record_in_the_past_is_ok_with_its_age():
    assert records(NOW_MS - 2_000).found == "the newest is stamped 2 seconds ago, by ours"
    assert records(NOW_MS + 900).verdict is Verdict.OK


def test_record_stamped_in_the_future_is_a_warning_that_says_whose_clock_it_was():
    finding = records(NOW_MS + 5_400_000)
    assert finding.verdict is Verdict.WARNING
    assert "transactions-1 is stamped 1.5 hours ahead of our clock" in finding.found
    assert finding.mends[0].say.startswith("The producer's clock")
    assert records(NOW_MS + 5_000, "LogAppendTime").mends[0].say.startswith("The broker's clock")


def test_records_clock_is_unknown_without_records():
    none = kafka(logs={("transactions", 0): LogFacts(0, 0)})
    assert check_records_clock(none, {}).verdict is Verdict.UNKNOWN
