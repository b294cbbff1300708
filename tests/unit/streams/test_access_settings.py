"""Names, passwords and certificates as settings: what fits together, and that secrets stay secret."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from ops.cli.support import read_settings
from ops.demo import child_environment, worker_environment
from ops.demo_servers import settings_for
from schemas.errors import ConfigurationError
from streams.access_settings import SECRET_FIELDS, AccessSettings, without_credentials
from streams.settings import Settings

SECRET = "s3cr3t-und-geheim"


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch):
    for name in list(os.environ):
        if name.startswith("EVERSCORE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def pem(tmp_path):
    path = tmp_path / "file.pem"
    path.write_text("pem")
    return path


def refused(**given):
    with pytest.raises(ConfigurationError) as caught:
        read_settings(**given)
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    return message


def test_passwords_come_from_a_folder_of_secrets(monkeypatch, tmp_path):
    (tmp_path / "EVERSCORE_KAFKA_PASSWORD").write_text(f"{SECRET}\n")
    (tmp_path / "everscore_redis_password").write_text("other")
    monkeypatch.setenv("EVERSCORE_SECRETS", str(tmp_path))
    settings = read_settings(kafka_security="SASL_SSL", kafka_username="worker")
    assert settings.kafka_password == SecretStr(SECRET)
    assert settings.redis_password == SecretStr("other")
    assert settings.secrets == tmp_path


def test_variable_comes_before_its_file(monkeypatch, tmp_path):
    (tmp_path / "EVERSCORE_REDIS_PASSWORD").write_text("of the file")
    monkeypatch.setenv("EVERSCORE_SECRETS", str(tmp_path))
    monkeypatch.setenv("EVERSCORE_REDIS_PASSWORD", "of the variable")
    assert read_settings().redis_password == SecretStr("of the variable")


def test_empty_variable_is_as_good_as_none(monkeypatch):
    monkeypatch.setenv("EVERSCORE_KAFKA_CA", "")
    monkeypatch.setenv("EVERSCORE_REDIS_USERNAME", "")
    settings = read_settings()
    assert (settings.kafka_ca, settings.redis_username) == (None, None)


def test_folder_of_secrets_that_is_none_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("EVERSCORE_SECRETS", str(tmp_path / "gone"))
    assert f"EVERSCORE_SECRETS: {tmp_path}/gone is not a folder" in refused()


def test_secret_that_lies_outside_of_its_folder_is_refused_with_its_name(monkeypatch, tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    (tmp_path / "elsewhere").write_text(SECRET)
    (folder / "EVERSCORE_KAFKA_PASSWORD").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("EVERSCORE_SECRETS", str(folder))
    message = refused()
    assert message.startswith("EVERSCORE_SECRETS: ")
    assert "EVERSCORE_KAFKA_PASSWORD" in message


def test_secrets_mounted_as_kubernetes_does_are_found(monkeypatch, tmp_path):
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "EVERSCORE_KAFKA_PASSWORD").write_text(SECRET)
    link = tmp_path / "EVERSCORE_KAFKA_PASSWORD"
    link.symlink_to(Path("..data") / "EVERSCORE_KAFKA_PASSWORD")
    monkeypatch.setenv("EVERSCORE_SECRETS", str(tmp_path))
    assert read_settings().kafka_password == SecretStr(SECRET)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kafka_security": "SASL_SSL"}, "EVERSCORE_KAFKA_USERNAME must be set"),
        (
            {"kafka_security": "SASL_PLAINTEXT", "kafka_username": "w"},
            "EVERSCORE_KAFKA_PASSWORD must be set, as a variable or as a file",
        ),
        ({"kafka_username": "w"}, "EVERSCORE_KAFKA_SECURITY is PLAINTEXT, which asks for no name"),
        ({"kafka_security": "ssl"}, "EVERSCORE_KAFKA_SECURITY: Input should be 'PLAINTEXT'"),
        ({"kafka_sasl_mechanism": "GSSAPI"}, "EVERSCORE_KAFKA_SASL_MECHANISM: Input should be"),
        ({"redis_username": "w"}, "EVERSCORE_REDIS_PASSWORD must be set"),
        ({"kafka": "broker:9092;other"}, "'broker:9092;other' is not host:port"),
        ({"kafka": "kafka://broker"}, "is not host:port"),
        ({"kafka": ""}, "'' is not host:port"),
        ({"redis": "localhost:6379"}, "does not begin with redis://"),
        ({"redis": f"http://u:{SECRET}@host"}, "does not begin with redis://"),
        ({"redis": f"redis//u:{SECRET}@host"}, "does not begin with redis://"),
        ({"redis": f"redis://u:a/{SECRET}@host"}, "percent-encoded"),
        ({"redis": f"redis://u:1/{SECRET}@host"}, "percent-encoded"),
        ({"redis": f"redis://u:1#{SECRET}@host"}, "percent-encoded"),
        ({"redis": f"redis://u:1?{SECRET}@host"}, "percent-encoded"),
        ({"redis": f"redis://[u:{SECRET}@host"}, "percent-encoded"),
        ({"lost_below": 0.9}, "lost_below 0.9 must lie below fading_below 0.5"),
    ],
)
def test_setting_that_cannot_be_is_one_clear_line(given, said):
    assert said in refused(**given)


@pytest.mark.parametrize("server", ["kafka", "redis"])
@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_file_that_is_not_there_is_named(server, name, tmp_path):
    message = refused(**{f"{server}_{name}": tmp_path / "none.pem"})
    assert f"EVERSCORE_{server.upper()}_{name.upper()}: cannot read {tmp_path}/none.pem" in message
    assert "No such file" in message


@pytest.mark.parametrize("server", ["kafka", "redis"])
@pytest.mark.parametrize(("there", "missing"), [("certificate", "key"), ("key", "certificate")])
def test_certificate_and_key_need_each_other(server, there, missing, pem):
    tls = {"kafka_security": "SSL", "redis": "rediss://host"}
    message = refused(**tls, **{f"{server}_{there}": pem})
    prefix = f"EVERSCORE_{server.upper()}"
    assert f"{prefix}_{missing.upper()} must be set too" in message


@pytest.mark.parametrize("server", ["kafka", "redis"])
def test_ca_on_a_connection_that_is_not_encrypted_is_refused(server, pem):
    message = refused(**{f"{server}_ca": pem})
    assert f"EVERSCORE_{server.upper()}_CA is set, but EVERSCORE_" in message


def test_error_never_shows_a_secret_found_beside_it(monkeypatch):
    for name in SECRET_FIELDS:
        monkeypatch.setenv(f"EVERSCORE_{name.upper()}", SECRET)
    refused(kafka_security="SASL_SSL")
    refused(lost_below=0.9)
    with pytest.raises(ValidationError) as caught:
        Settings(lost_below=0.9)
    assert SECRET not in str(caught.value)


def test_secret_fields_are_those_that_are_called_passwords():
    named = {name for name in Settings.model_fields if "password" in name}
    assert (
        named == SECRET_FIELDS == {name for name in AccessSettings.model_fields if "word" in name}
    )


@pytest.mark.parametrize(
    ("url", "bare", "carried"),
    [
        ("redis://h", "redis://h", {}),
        ("redis://h:1/2?timeout=3", "redis://h:1/2?timeout=3", {}),
        ("redis://:p@h/0", "redis://h/0", {"password": "p"}),
        ("rediss://u:p%40%2F@h", "rediss://h", {"username": "u", "password": "p@/"}),
        ("redis://u:p@q@[::1]:7", "redis://[::1]:7", {"username": "u", "password": "p@q"}),
        ("redis://h?password=p&username=u", "redis://h", {"username": "u", "password": "p"}),
        ("rediss://h?ssl_password=k", "rediss://h", {"key_password": "k"}),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1", {}),
        (
            "unix://u:p@/run/redis.sock",
            "unix:///run/redis.sock",
            {"username": "u", "password": "p"},
        ),
    ],
)
def test_redis_url_gives_up_what_it_carries(url, bare, carried):
    assert without_credentials(url) == (bare, carried)


def test_password_of_the_redis_url_is_nowhere_to_be_seen(monkeypatch):
    monkeypatch.setenv("EVERSCORE_REDIS", f"redis://worker:{SECRET}@redis:6379/0")
    settings = read_settings()
    assert settings.redis == "redis://redis:6379/0"
    assert settings.redis_password == SecretStr(SECRET)
    for shown in (repr(settings), str(settings.model_dump()), str(worker_environment(settings))):
        assert SECRET not in shown
        assert "redis:6379" in shown


def test_child_gets_the_secrets_that_people_do_not_see(monkeypatch):
    monkeypatch.setenv("EVERSCORE_REDIS_PASSWORD", "of another server")
    settings = read_settings(redis=f"redis://:{SECRET}@redis")
    assert SECRET not in str(worker_environment(settings))
    for name, value in child_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert read_settings().redis_password == SecretStr(SECRET)


def test_child_of_the_demo_does_not_inherit_who_we_are_elsewhere(monkeypatch, tmp_path):
    (tmp_path / "EVERSCORE_REDIS_PASSWORD").write_text(SECRET)
    monkeypatch.setenv("EVERSCORE_SECRETS", str(tmp_path))
    monkeypatch.setenv("EVERSCORE_KAFKA_SECURITY", "SASL_SSL")
    monkeypatch.setenv("EVERSCORE_KAFKA_USERNAME", "worker")
    monkeypatch.setenv("EVERSCORE_KAFKA_PASSWORD", SECRET)
    demo = settings_for("127.0.0.1:1", "redis://127.0.0.1:2/0")
    assert demo.redis_password is None
    for name, value in child_environment(demo).items():
        monkeypatch.setenv(name, value)
    child = read_settings()
    assert child.model_dump(exclude={"owner"}) == demo.model_dump(exclude={"owner"})
