"""`everscore doctor` as a whole: which checks there are, how it ends, what it shows and hides."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from ops.api.settings import ApiSettings
from ops.cli.doctor import exit_code
from ops.cli.main import app
from ops.cli.support import Exit
from ops.doctor import examine as examining
from ops.doctor.examine import StoreFacts, examine
from ops.doctor.finding import Finding, Mend, Problem, Verdict, gathered
from ops.security.roles import Role
from schemas.errors import BrokerUnavailableError, ConfigurationError, StoreUnavailableError
from streams.settings import Settings
from tests.support.doctor_facts import FOUNDED, SETTINGS, checkpoints, kafka, redis, topic

STORE = StoreFacts(redis(), FOUNDED, checkpoints())
NO_KAFKA = BrokerUnavailableError("Kafka at broker:9092 does not answer: refused.")
NO_REDIS = StoreUnavailableError("Redis at redis://store:6379/0 does not answer: refused.")
STRANGER = ConfigurationError("Kafka at broker:9092 refused user 'x'.", hint="Check the password.")


@pytest.fixture
def servers(monkeypatch):
    """Puts facts, or an error, in the place of both servers."""

    def put(of_kafka=None, of_store=STORE):
        async def ask_kafka(settings, topics):
            if isinstance(of_kafka, Exception):
                raise of_kafka
            return of_kafka or kafka()

        async def store_facts(store, role):
            if isinstance(of_store, Exception):
                raise of_store
            return of_store

        monkeypatch.setattr(examining, "ask_kafka", ask_kafka)
        monkeypatch.setattr(examining, "_store_facts", store_facts)
        monkeypatch.setattr(examining, "not_compiled", list)  # wherever this runs

    return put


def finding(verdict, unreachable=False):
    return Finding("kafka.some", verdict, "found", unreachable=unreachable)


# --- which checks


async def test_healthy_installation_passes_every_check(servers):
    servers()
    found = await examine(SETTINGS, Role.WORKER)
    assert {one.name: one.verdict for one in found} == dict.fromkeys(
        [
            *("kafka.answers", "kafka.version", "kafka.brokers", "kafka.session"),
            *(f"topic.{kind}" for kind in ("transactions", "rekeyed", "changes")),
            *(f"topic.{kind}" for kind in ("dead-letter", "scorecards", "samples", "journal")),
            *("redis.answers", "redis.version", "redis.eviction", "redis.memory"),
            *("redis.persistence", "redis.role"),
            *("installation.settings", "installation.partitions"),
            *("progress.positions", "progress.lag", "progress.workers"),
            *("clock.redis", "clock.records"),
            *("permissions.kafka", "permissions.redis", "software.libraries", "software.compiled"),
        ],
        Verdict.OK,
    )


async def test_overrides_are_said_and_what_is_wrong_with_them(servers, tmp_path):
    servers()
    file = tmp_path / "overrides.yaml"
    file.write_text("segments: {Loyal: {name: Regulars, offer: tea}}\nlifecycle: {fading: 0.6}")
    settings = SETTINGS.model_copy(update={"overrides": file})

    async def said():
        (found,) = [
            one for one in await examine(settings, Role.WORKER) if one.section == "overrides"
        ]
        return found

    found = await said()
    assert found.verdict is Verdict.OK
    assert found.found == "Loyal is called Regulars, Loyal is offered tea, fading below 0.6"
    assert found.values["lifecycle"] == {"fading": 0.6}
    file.write_text("lifecycle: {fading: 0.1}")
    found = await said()
    assert (found.verdict, found.unreachable) == (Verdict.FAIL, False)
    assert "lifecycle.fading 0.1" in found.found
    assert found.mends == (Mend("Override lifecycle.lost, too."),)
    file.write_text("# nothing")
    assert (await said()).found == "nothing is overridden"


async def test_kafka_that_is_away_is_one_line_and_redis_is_still_checked(servers):
    servers(NO_KAFKA)
    found = await examine(SETTINGS, Role.WORKER)
    assert [one.name for one in found if one.section in {"kafka", "topic", "progress"}] == [
        "kafka.answers"
    ]
    assert found[0].found == "Kafka at broker:9092 does not answer: refused."
    assert found[0].unreachable
    assert "redis.persistence" in {one.name for one in found}


async def test_redis_that_is_away_is_one_line_and_kafka_is_still_checked(servers):
    servers(of_store=NO_REDIS)
    found = await examine(SETTINGS, Role.WORKER)
    failed = [one for one in found if one.verdict is Verdict.FAIL]
    assert [one.name for one in failed] == ["redis.answers"]
    assert "topic.samples" in {one.name for one in found}
    assert "installation.settings" not in {one.name for one in found}


async def test_server_that_refuses_us_is_set_wrong_and_its_hint_is_the_mend(servers):
    servers(STRANGER)
    (refused,) = [one for one in await examine(SETTINGS, Role.WORKER) if one.section == "kafka"]
    assert refused.found == "Kafka at broker:9092 refused user 'x'."
    assert refused.mends == (Mend("Check the password."),)
    assert not refused.unreachable


async def test_producer_has_nothing_to_do_with_redis_and_one_topic(servers):
    servers(of_store=AssertionError("must not be asked"))
    names = {one.name for one in await examine(SETTINGS, Role.PRODUCER)}
    assert names == {
        "kafka.answers",
        "kafka.version",
        "kafka.brokers",
        "topic.transactions",
        "clock.records",
        "permissions.kafka",
        "software.libraries",
        "software.compiled",
    }


async def test_installation_before_its_first_worker_has_no_progress_to_check(servers):
    servers(of_store=StoreFacts(redis()))
    found = {one.name: one for one in await examine(SETTINGS, Role.WORKER)}
    assert "progress.positions" not in found
    assert found["installation.partitions"].verdict is Verdict.OK


# --- how it ends


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], Exit.OK),
        ([Verdict.OK, Verdict.WARNING, Verdict.UNKNOWN], Exit.OK),
        ([Verdict.OK, "away"], Exit.UNAVAILABLE),
        ([Verdict.OK, Verdict.FAIL], Exit.CONFIG),
        (["away", Verdict.FAIL], Exit.CONFIG),
    ],
)
def test_exit_code_says_whether_somebody_must_mend_or_wait(findings, code):
    made = [
        finding(Verdict.FAIL, unreachable=True) if one == "away" else finding(one)
        for one in findings
    ]
    assert exit_code(made) is code


def test_gathered_problems_have_the_worst_verdict_and_all_mends():
    away = Problem(Verdict.FAIL, "away", Mend("wait"), unreachable=True)
    odd = Problem(Verdict.WARNING, "odd", Mend("look"))
    wrong = Problem(Verdict.FAIL, "wrong")
    assert gathered("a.b", "fine", []).found == "fine"
    both = gathered("a.b", "fine", [odd, away])
    assert (both.verdict, both.unreachable) == (Verdict.FAIL, True)
    assert (both.found, both.mends) == ("odd; away", (Mend("look"), Mend("wait")))
    assert not gathered("a.b", "fine", [away, wrong]).unreachable
    assert not gathered("a.b", "fine", [odd]).unreachable


# --- what it shows


def doctor(*words, **environment):
    environment = {"EVERSCORE_KAFKA": "broker:9092", "COLUMNS": "100"} | environment
    return CliRunner().invoke(app, ["doctor", *words], env=environment)


def test_json_has_every_check_and_every_setting_and_no_secret(servers):
    servers(kafka(topic("transactions", retention_ms="604800000")))
    run = doctor(
        "--json",
        EVERSCORE_REDIS="rediss://worker:hush-1@store:6379/0",
        EVERSCORE_KAFKA_SECURITY="SASL_SSL",
        EVERSCORE_KAFKA_USERNAME="worker",
        EVERSCORE_KAFKA_PASSWORD="hush-2",
    )
    assert run.exit_code == Exit.CONFIG, run.output
    said = json.loads(run.stdout)
    assert "hush" not in run.output
    assert (said["ok"], said["role"]) == (False, "worker")
    assert set(said["settings"]) == {
        *(f"EVERSCORE_{name.upper()}" for name in Settings.model_fields),
        *(f"EVERSCORE_API_{name.upper()}" for name in ApiSettings.model_fields),
    }
    checks = {one["name"]: one for one in said["checks"]}
    ill = checks["topic.transactions"]
    assert (ill["verdict"], ill["unreachable"]) == ("fail", False)
    assert ill["values"]["settings"]["retention.ms"] == "604800000"
    (mend,) = ill["mends"]
    assert mend["run"][0].startswith(
        "kafka-configs.sh --bootstrap-server broker:9092 --command-config"
    )
    assert checks["redis.version"]["mends"] == []


@pytest.mark.parametrize("columns", [80, 100])
def test_page_fits_the_terminal_and_leaves_commands_whole(servers, columns):
    servers(kafka(topic("transactions", retention_ms="604800000")), STORE)
    run = doctor(COLUMNS=str(columns))
    assert run.exit_code == Exit.CONFIG
    lines = run.stdout.splitlines()
    command = "--entity-name transactions --add-config retention.ms=-1"
    assert [line for line in lines if line.endswith(command)]
    assert max(len(line) for line in lines if not line.endswith(command)) <= columns
    assert lines[-1].endswith("1 failed, 27 ok: topic.transactions")
    for title in ("Settings", "Kafka", "Topics", "Redis", "Permissions of role worker"):
        assert title in lines


def test_page_names_every_setting_and_what_is_set_here_on_a_line_of_its_own(servers):
    servers()
    run = doctor(EVERSCORE_CURRENCY="EUR")
    assert "  EVERSCORE_CURRENCY=EUR" in run.stdout.splitlines()
    for name in Settings.model_fields:
        assert f"EVERSCORE_{name.upper()}=" in run.stdout


def test_meanings_of_settings_are_shown_when_asked_for(servers):
    servers()
    run = doctor("--settings", COLUMNS="200")
    assert run.exit_code == Exit.OK
    assert Settings.model_fields["currency"].description in run.stdout


def test_warnings_alone_end_well(servers):
    servers(replace(kafka(), nodes=(1,)))
    run = doctor("--json")
    assert run.exit_code == Exit.OK
    said = json.loads(run.stdout)
    assert said["ok"]
    assert [one["name"] for one in said["checks"] if one["verdict"] != "ok"] == ["kafka.brokers"]
