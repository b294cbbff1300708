"""Roles, certificates and passwords of the secure local stack; it runs in tests/integration."""

from __future__ import annotations

import hashlib
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from typer.testing import CliRunner

from ops.cli.main import app
from ops.security import door as door_module
from ops.security.access import access_variables
from ops.security.certificates import Authority, expires_at, names_of
from ops.security.document import README, SECTIONS, written
from ops.security.door import SecureDoor
from ops.security.profile import USERS, Profile
from ops.security.roles import (
    KAFKA_GRANTS,
    REDIS_GRANTS,
    KafkaAcl,
    Role,
    kafka_acls,
    redis_rules,
)
from ops.stack.mark import StackMark
from schemas.errors import ConfigurationError
from state.keys import Keys
from streams.access_settings import SECRET_FIELDS
from streams.settings import Settings

run = CliRunner().invoke
PORTS = {"kafka": 9092, "mtls": 9093, "controller": 9094, "redis": 6379}


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    made = Profile(tmp_path / "security")
    made.ensure()
    return made


def acls_of(user: str) -> set[tuple[str, str, str]]:
    acls = kafka_acls(Settings.model_construct(), USERS)
    return {(acl.operation, acl.kind, acl.name) for acl in acls if acl.user == user}


AT_REDIS = ["admin", "worker", "support", "auditor", "eraser"]


# --- Roles


def test_nobody_may_write_transactions_but_producers_and_who_erases() -> None:
    writers = {
        acl.user
        for acl in kafka_acls(Settings.model_construct(), USERS)
        if (acl.operation, acl.name) == ("WRITE", "transactions")
    }
    assert writers == {"producer", "eraser"}
    assert acls_of("producer") == {("WRITE", "topic", "transactions")}


def test_those_who_read_only_read() -> None:
    harmless = {"READ", "DESCRIBE", "DESCRIBE_CONFIGS"}
    for user in ("reader", "support", "auditor"):
        assert {operation for operation, _, _ in acls_of(user)} <= harmless
    assert acls_of("reader") == {("READ", "topic", "segment-changes"), ("READ", "group", "offers")}


def test_prefixes_are_for_names_that_no_installation_has() -> None:
    prefixed = {grant.name for grant in KAFKA_GRANTS if grant.prefixed}
    assert prefixed == {"offers", "everscore-demo-"}
    names = {str(field.default) for field in Settings.model_fields.values()}
    assert not any(name.startswith(tuple(prefixed)) for name in names)


def test_worker_is_granted_every_topic_there_is() -> None:
    granted = {grant.name for grant in KAFKA_GRANTS if grant.role is Role.WORKER}
    topics = {field for field in Settings.model_fields if field.endswith("_topic")}
    assert granted == topics | {"group"}


def test_no_role_may_do_all_to_a_topic_or_anything_to_the_cluster() -> None:
    allowed = {operation for grant in KAFKA_GRANTS for operation in grant.operations}
    assert allowed == {"READ", "WRITE", "CREATE", "DELETE", "DESCRIBE", "DESCRIBE_CONFIGS"}
    assert {grant.kind for grant in KAFKA_GRANTS} == {"topic", "group"}
    assert {grant.role for grant in KAFKA_GRANTS if "CREATE" in grant.operations} == {Role.DEMO}
    deletes = [grant for grant in KAFKA_GRANTS if "DELETE" in grant.operations]
    assert [(grant.role, grant.name) for grant in deletes] == [(Role.ERASER, "dead_letter_topic")]


def test_names_of_topics_and_group_come_from_settings() -> None:
    settings = Settings(transactions_topic="kassa", group="zaehler")
    acls = kafka_acls(settings, {"w": (Role.WORKER,)})
    assert KafkaAcl("w", "topic", "kassa", "LITERAL", "READ") in acls
    assert KafkaAcl("w", "group", "zaehler", "LITERAL", "READ") in acls
    assert not any(acl.name in {"transactions", "everscore"} for acl in acls)


def test_every_key_of_an_installation_is_allowed_and_none_besides() -> None:
    for keys in (Keys(), Keys("eu:"), Keys("eu:", cluster=True)):
        rules = redis_rules(Role.WORKER, keys)
        patterns = [rule[1:] for rule in rules if rule.startswith("~")]
        named = {
            keys.customer(3, "C-42"), keys.partition(3), keys.outbox(3), keys.due(3),
            keys.tombstones(3),
            keys.installation, keys.scorecards, keys.current_scorecard,
        }  # fmt: skip
        for name in named:
            assert any(matches(pattern, name) for pattern in patterns), name
        for name in ("other", "us:partition:3", "installations", f"{keys.prefix}x:customer:3"):
            assert not any(matches(pattern, name) for pattern in patterns), name


def matches(pattern: str, name: str) -> bool:
    """Redis's glob, of which `*` alone is used."""
    head, star, tail = pattern.partition("*")
    if not star:
        return name == head
    if not name.startswith(head):
        return False
    return any(matches(tail, name[len(head) + i :]) for i in range(len(name) - len(head) + 1))


def test_dangerous_commands_are_in_no_role() -> None:
    dangerous = {
        "flushall", "flushdb", "config", "keys", "scan", "shutdown", "debug", "eval", "acl",
        "unlink", "rename", "script", "save", "bgsave", "replicaof", "monitor", "client", "module",
        "swapdb", "migrate", "dump", "sort", "function", "subscribe", "publish", "select",
    }  # fmt: skip
    writers = {
        Role.WORKER,
        Role.DEMO,
    }  # who may write customers may write them whole, see decision 14
    for grant in REDIS_GRANTS:
        assert ("restore" in grant.commands) is (grant.role in writers)
        assert not dangerous & set(grant.commands)
        assert not any(command.startswith(("@", "*")) for command in grant.commands)
    writing = {"hset", "hsetnx", "hincrby", "set", "del", "zadd", "zrem", "xadd", "xtrim"}
    for grant in REDIS_GRANTS:
        looks = grant.role in {Role.SUPPORT, Role.AUDITOR, Role.ERASER}
        assert bool(writing & set(grant.commands)) is not looks


def test_readme_is_written_from_the_roles() -> None:
    text = README.read_text(encoding="utf-8")
    assert written(text) == text, "run: python -m ops.security.document"
    for section in SECTIONS:
        assert f"<!-- {section}: " in text
    for role in Role:
        assert f"| `{role}` |" in text


# --- Certificates


def test_certificates_are_for_servers_or_clients_and_end() -> None:
    authority = Authority.create("test")
    now = datetime.now(UTC)
    server = authority.issue_server(["kafka.example", "127.0.0.1", "::1"], days=7)
    client = authority.issue_client("worker", days=7)
    broker = authority.issue_server(["kafka"], also_client="broker")
    assert names_of(server.certificate) == ["kafka.example", "127.0.0.1", "::1"]
    purposes = {
        ExtendedKeyUsageOID.SERVER_AUTH: [server, broker],
        ExtendedKeyUsageOID.CLIENT_AUTH: [client, broker],
    }
    for made in (server, client, broker):
        assert authority.signed(made.certificate)
        assert not Authority.create("test").signed(made.certificate)
        found = x509.load_pem_x509_certificate(made.certificate)
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert set(usage) == {oid for oid, holders in purposes.items() if made in holders}
        assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert "PRIVATE" not in repr(made)
    for made in (server, client):
        assert timedelta(days=6) < expires_at(made.certificate) - now < timedelta(days=7, minutes=5)
    assert x509.load_pem_x509_certificate(broker.certificate).subject.rfc4514_string() == (
        "CN=broker"
    )


@pytest.mark.parametrize("name", ["bücher.example", "", "a b", "kafka:9092"])
def test_name_that_no_certificate_can_bear_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="neither a host name nor an address"):
        Authority.create("test").issue_server([name])


# --- The folder


def test_profile_is_nobody_elses_to_read(profile: Profile) -> None:
    found = sorted(profile.folder.rglob("*"))
    assert len(found) > 20
    for path in (profile.folder, *found):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "security"
    folder.mkdir(mode=0o755)
    with pytest.raises(ConfigurationError, match=r"is open to others.*chmod 700"):
        Profile(folder).ensure()
    assert list(folder.iterdir()) == []


def test_files_are_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Profile(tmp_path / "security").ensure()
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in tmp_path.rglob("*")} == {0}


def test_passwords_differ_and_stay(profile: Profile) -> None:
    before = profile.scram_users()
    assert set(before) == {
        "worker",
        "producer",
        "reader",
        "support",
        "auditor",
        "eraser",
    }  # the admin has none
    redis = [profile.password(user, "REDIS") for user in AT_REDIS]
    everyone = [*before.values(), *redis]
    assert len(set(everyone)) == len(everyone)
    assert min(map(len, everyone)) >= 32
    assert Profile(profile.folder).ensure() == ()
    assert profile.scram_users() == before


def test_redis_is_told_digests_and_that_strangers_are_off(profile: Profile) -> None:
    lines = profile.redis_users.read_text().splitlines()
    assert lines[0] == "user default off"
    assert [line.split()[1] for line in lines[1:]] == AT_REDIS
    password = profile.password("worker", "REDIS")
    assert password not in profile.redis_users.read_text()
    assert f"#{hashlib.sha256(password.encode()).hexdigest()}" in lines[2]
    # What a later role takes away may not be what an earlier one gave.
    assert lines[2].split().count("-@all") == 1
    assert lines[2].index("-@all") < lines[2].index("+")
    assert lines[2].index("resetkeys") < lines[2].index("~")


def test_certificates_are_renewed_before_they_end_and_passwords_kept(tmp_path: Path) -> None:
    profile = Profile(tmp_path / "security")
    now = datetime.now(UTC)
    profile.ensure(now=now)
    ca, passwords = profile.ca.read_bytes(), profile.scram_users()
    assert profile.ensure(now=now + timedelta(days=790)) == ()
    made = profile.ensure(now=now + timedelta(days=800))
    assert set(made) == {f"certificate of {name}" for name in ("kafka", "redis", *USERS)}
    assert profile.ca.read_bytes() == ca
    assert expires_at(profile.certificate("worker")[0].read_bytes()) > now + timedelta(days=1600)
    assert "CA" in profile.ensure(now=now + timedelta(days=3640))
    authority = profile.ca.read_bytes()
    assert authority != ca
    assert profile.scram_users() == passwords


def test_another_name_makes_other_server_certificates_only(profile: Profile) -> None:
    named = Profile(profile.folder, names=["kafka", "localhost"])
    assert named.ensure() == ("certificate of kafka", "certificate of redis")
    assert names_of(profile.redis[0].read_bytes()) == ["localhost", "127.0.0.1", "kafka"]
    assert named.ensure() == ()
    assert profile.ensure() == ()  # a name once given stays


# --- What the servers are told


def test_kafka_lets_in_nobody_without_name_or_certificate(profile: Profile) -> None:
    settings = SecureDoor(profile).kafka_settings(PORTS)
    protocols = dict(
        pair.split(":") for pair in settings["listener.security.protocol.map"].split(",")
    )
    assert {name.partition("://")[0] for name in settings["listeners"].split(",")} == set(protocols)
    assert set(protocols.values()) == {"SASL_SSL", "SSL"}
    assert settings["ssl.client.auth"] == "required"
    assert settings["allow.everyone.if.no.acl.found"] == "false"
    assert settings["super.users"] == "User:broker;User:admin"
    assert "broker" not in USERS
    secrets = [*profile.scram_users().values(), profile.password("worker", "REDIS")]
    said = str(settings) + str(SecureDoor(profile).redis_settings(6379))
    assert not any(secret in said for secret in secrets)


def test_redis_listens_with_tls_only_whatever_the_path(tmp_path: Path) -> None:
    profile = Profile(tmp_path / 'with "space')
    settings = SecureDoor(profile).redis_settings(6379)
    assert settings["port"] == "0"
    assert settings["tls-port"] == "6379"
    assert settings["aclfile"].startswith('"')
    assert '\\"space' in settings["aclfile"]


def test_redis_without_tls_is_passed_over_and_said_so(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def server(folder: str, stumbles_over: str) -> Path:
        path = tmp_path / folder / "redis-server"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\ncat >/dev/null\necho \">>> '{stumbles_over}'\"; exit 1\n")
        path.chmod(0o755)
        return path

    without, with_tls = server("without", "tls-port 0"), server("with", "and-then-stop")
    door_module._knows_tls.cache_clear()
    monkeypatch.setenv("PATH", f"{without.parent}:{with_tls.parent}:/bin:/usr/bin")
    assert SecureDoor(profile).redis_executable() == str(with_tls)
    monkeypatch.setenv("PATH", f"{without.parent}:/nowhere")
    monkeypatch.setattr(door_module, "_knows_tls", lambda path: False)
    with pytest.raises(ConfigurationError, match=r"No redis-server here knows TLS.*apt install"):
        SecureDoor(profile).redis_executable()


# --- What people are told


@pytest.mark.parametrize("certificate", [False, True])
@pytest.mark.parametrize("user", USERS)
def test_variables_of_a_user_are_settings_that_fit_and_no_secrets(
    profile: Profile, user: str, certificate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = {"kafka": "h:1", "kafka_mtls": "h:2", "redis": "rediss://h:3/0"}
    variables = access_variables(profile, user, **addresses, certificate=certificate)
    assert not {f"EVERSCORE_{name.upper()}" for name in SECRET_FIELDS} & variables.keys()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    by_name = settings.kafka_security == "SASL_SSL"
    assert by_name is (not certificate and user != "admin")
    if by_name:
        assert settings.kafka_password is not None
        assert settings.kafka_password.get_secret_value() == profile.password(user, "KAFKA")
    if user in AT_REDIS:
        assert settings.redis_password is not None
        assert settings.redis_password.get_secret_value() == profile.password(user, "REDIS")
    else:
        assert "EVERSCORE_REDIS" not in variables


def test_unknown_user_is_refused_with_those_there_are(profile: Profile) -> None:
    with pytest.raises(ConfigurationError, match=r"has no user 'boss'\. It has admin, worker"):
        access_variables(profile, "boss", kafka="", kafka_mtls="", redis="", certificate=False)


def test_access_to_an_open_stack_says_that_there_is_none(tmp_path: Path) -> None:
    said = run(app, ["stack", "access", "support", "--folder", str(tmp_path / "none")])
    assert said.exit_code == 78
    assert "lets in anybody" in said.stderr


def test_stack_stays_as_it_was_last_time(tmp_path: Path) -> None:
    mark = StackMark(tmp_path)
    assert not mark.secure
    mark.write(PORTS, secure=True)
    assert StackMark(tmp_path).secure
    assert StackMark(tmp_path).ports() == PORTS
    said = run(app, ["stack", "access", "support", "--folder", str(tmp_path)])
    assert "export EVERSCORE_KAFKA=127.0.0.1:9092\n" in said.stdout
    mark.write(PORTS, secure=False)
    assert not StackMark(tmp_path).secure


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.startswith("ops.security.profile"):
            raise ModuleNotFoundError("No module named 'cryptography'", name="cryptography")
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    said = run(app, ["stack", "up", "--secure", "--folder", str(tmp_path / "stack")])
    assert said.exit_code == 78
    assert "package that is not installed: cryptography" in said.stderr
    assert "pip install 'everscore[security]'" in said.stderr
