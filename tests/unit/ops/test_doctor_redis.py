"""What the doctor says of Redis and of this side's libraries."""

import pytest

from ops.doctor import software
from ops.doctor.finding import Verdict
from ops.doctor.permissions import check_redis_permissions, needed_commands
from ops.doctor.redis_server import check_redis
from ops.doctor.software import (
    check_compiled,
    check_compression,
    check_libraries,
    installed,
)
from ops.security.roles import REDIS_GRANTS, Role
from state.inspection import reading_probes, writing_probes
from state.keys import Keys
from tests.support.doctor_facts import REMEDIES, SETTINGS, redis

REDIS_CLI = "redis-cli -u redis://store:6379/0 "


def look(settings=SETTINGS, **changes):
    """Findings by label."""
    return {one.label: one for one in check_redis(redis(**changes), settings, REMEDIES)}


def test_healthy_redis_is_ok_with_its_values():
    found = look()
    assert {one.verdict for one in found.values()} == {Verdict.OK}
    assert found["answers"].found == "redis://store:6379/0 in 0.2 ms, as user worker"
    assert found["memory"].found == "100 MB of maxmemory 1 GB used (10%)"
    assert found["persistence"].found == "appendonly yes, appendfsync everysec"
    assert found["role"].found == "master with 1 replica"


@pytest.mark.parametrize("version", ["6.0.16", "5.0.7"])
def test_too_old_redis_fails_with_its_version(version):
    finding = look(redis_version=version)["version"]
    assert finding.verdict is Verdict.FAIL
    assert version in finding.found
    assert look(redis_version="6.2.0")["version"].verdict is Verdict.OK


def test_policy_that_evicts_fails_and_is_mended_by_commands():
    finding = look(maxmemory_policy="allkeys-lru")["eviction"]
    assert finding.verdict is Verdict.FAIL
    assert "allkeys-lru" in finding.found
    assert finding.mends[0].run == (
        REDIS_CLI + "CONFIG SET maxmemory-policy noeviction",
        REDIS_CLI + "CONFIG REWRITE",
    )


@pytest.mark.parametrize(
    ("used", "verdict"), [(79, Verdict.OK), (80, Verdict.WARNING), (95, Verdict.FAIL)]
)
def test_memory_that_runs_out_is_told_in_time(used, verdict):
    finding = look(used_memory=used, maxmemory=100)["memory"]
    assert finding.verdict is verdict
    assert f"({used}%)" in finding.found


def test_memory_without_a_limit_is_ok():
    assert look(maxmemory=0)["memory"].found == "100 MB used of the machine's 8 GB; no limit set"


@pytest.mark.parametrize(
    ("changes", "verdict", "said", "mend"),
    [
        ({"aof_enabled": 0}, Verdict.FAIL, "appendonly no, and no snapshots", "appendonly yes"),
        (
            {"aof_enabled": 0, "config": {"save": "3600 1"}},
            Verdict.WARNING,
            "last snapshot (save 3600 1)",
            "appendonly yes",
        ),
        ({"aof_enabled": 0, "config": None}, Verdict.WARNING, "appendonly no", "appendonly yes"),
        (
            {"config": {"save": "", "appendfsync": "no"}},
            Verdict.WARNING,
            "appendfsync no",
            "appendfsync everysec",
        ),
    ],
)
def test_persistence_that_loses_customers_is_told_and_mended(changes, verdict, said, mend):
    finding = look(**changes)["persistence"]
    assert finding.verdict is verdict
    assert said in finding.found
    assert finding.mends[0].run[0] == f"{REDIS_CLI}CONFIG SET {mend}"


@pytest.mark.parametrize("status", ["aof_last_write_status", "rdb_last_bgsave_status"])
def test_write_to_disk_that_failed_fails(status):
    finding = look(**{status: "err"})["persistence"]
    assert finding.verdict is Verdict.FAIL
    assert f"{status}=err" in finding.found


def test_hidden_fsync_is_no_reason_to_worry():
    finding = look(config=None)["persistence"]
    assert (finding.verdict, finding.found) == (Verdict.OK, "appendonly yes, appendfsync not told")


def test_replica_fails_and_names_its_master():
    finding = look(role="slave", master_host="m", master_port=6379)["role"]
    assert finding.verdict is Verdict.FAIL
    assert "m:6379" in finding.found


def test_cluster_needs_its_setting():
    finding = look(cluster_enabled=1)["role"]
    assert finding.verdict is Verdict.FAIL
    assert finding.mends[0].run == ("export EVERSCORE_REDIS_CLUSTER=1",)
    as_set = SETTINGS.model_copy(update={"redis_cluster": True})
    assert look(as_set, cluster_enabled=1)["role"].verdict is Verdict.OK


def test_slow_redis_is_a_warning():
    assert look(ping_ms=25.0)["answers"].verdict is Verdict.WARNING


def test_redis_that_hides_its_info_is_one_unknown():
    facts = redis(info={}, user=None)
    verdicts = {one.label: one.verdict for one in check_redis(facts, SETTINGS, REMEDIES)}
    assert verdicts == {"answers": Verdict.OK, "settings": Verdict.UNKNOWN}


# --- permissions


@pytest.mark.parametrize("grant", REDIS_GRANTS, ids=lambda grant: grant.role.value)
def test_every_command_that_a_role_is_granted_is_tried(grant):
    tried = reading_probes(Keys()).keys() | writing_probes(Keys()).keys()
    assert set(grant.commands) - tried <= {"multi", "exec"}  # what the trial itself consists of
    assert needed_commands(grant.role) == grant.commands


def test_refused_commands_fail_and_are_mended_by_adding_to_what_is_allowed():
    facts = redis(refused={"XTRIM outbox:0": "no permissions to run the 'xtrim' command"})
    finding = check_redis_permissions(facts, SETTINGS, Role.WORKER, REMEDIES)
    assert finding.verdict is Verdict.FAIL
    assert "XTRIM outbox:0" in finding.found
    assert "no permissions to run the 'xtrim' command" in finding.found
    (command,) = finding.mends[0].run
    assert command.startswith(f"{REDIS_CLI}ACL SETUSER worker ")
    assert "+xtrim" in command
    assert "'~outbox:*'" in command
    assert "reset" not in command
    assert "-@all" not in command


def test_commands_that_could_not_be_tried_are_unknown_for_who_writes():
    facts = redis(untried=("HSET partition:0",))
    worker = check_redis_permissions(facts, SETTINGS, Role.WORKER, REMEDIES)
    assert worker.verdict is Verdict.UNKNOWN
    support = check_redis_permissions(facts, SETTINGS, Role.SUPPORT, REMEDIES)
    assert support.verdict is Verdict.OK


# --- libraries


def test_libraries_of_this_environment_are_in_range():
    found = installed()
    assert found is not None
    assert {"aiokafka", "faust-streaming", "redis", "numpy"} <= found.keys()
    assert "pytest" not in found
    assert check_libraries(found).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("there", "said"), [("0.11.0", "aiokafka 0.11.0, but"), (None, "aiokafka is missing, but")]
)
def test_library_out_of_range_fails_and_is_mended_by_pip(there, said):
    finding = check_libraries({"aiokafka": (">=0.13,<0.15", there)})
    assert finding.verdict is Verdict.FAIL
    assert said in finding.found
    assert finding.mends[0].run == ("pip install 'aiokafka>=0.13,<0.15'",)


def test_libraries_are_unknown_without_an_installation():
    assert check_libraries(None).verdict is Verdict.UNKNOWN


def test_what_is_not_compiled_is_a_warning_and_how_to_mend_it():
    finding = check_compiled(["scoring._rendering"])
    assert finding.verdict is Verdict.WARNING
    assert finding.found == "scoring._rendering is not compiled: Python does the same, slower"
    assert "gcc" in finding.mends[0].run[0]
    assert check_compiled([]).verdict is Verdict.OK


def test_compression_without_a_library_of_its_own_is_not_looked_at():
    assert check_compression(SETTINGS) is None
    gzip = SETTINGS.model_copy(update={"compression": "gzip"})
    assert check_compression(gzip) is None


@pytest.mark.parametrize(("there", "verdict"), [(True, Verdict.OK), (False, Verdict.FAIL)])
def test_compression_needs_its_library(monkeypatch, there, verdict):
    monkeypatch.setitem(software.CODECS, "zstd", lambda: there)
    finding = check_compression(SETTINGS.model_copy(update={"compression": "zstd"}))
    assert finding is not None
    assert finding.verdict is verdict
    assert "EVERSCORE_COMPRESSION=zstd" in finding.found
