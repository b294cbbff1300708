"""Settings turned into what the clients take."""

import ssl

import pytest
from pydantic import SecretStr

from ops.security.certificates import Authority
from schemas.errors import ConfigurationError
from streams.connections import kafka_access, redis_access, redis_store
from streams.settings import Settings

SECRET = "s3cr3t-und-geheim"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority.create("test")
    mine, other = authority.issue_client("worker"), authority.issue_client("other")
    locked = authority.issue_client("worker", password=SECRET)
    made = {
        "ca": authority.own.certificate,
        "certificate": mine.certificate,
        "key": mine.key,
        "other.key": other.key,
        "locked.certificate": locked.certificate,
        "locked.key": locked.key,
        "text": b"hello",
    }
    for name, pem in made.items():
        (folder / name).write_bytes(pem)
    return {name: folder / name for name in made}


def test_plaintext_takes_nothing_else():
    assert kafka_access(Settings()) == {"security_protocol": "PLAINTEXT"}


def test_scram_over_tls_verifies_the_server_and_its_name(files):
    access = kafka_access(
        Settings(
            kafka_security="SASL_SSL",
            kafka_username="worker",
            kafka_password=SecretStr(SECRET),
            kafka_ca=files["ca"],
        )
    )
    context = access.pop("ssl_context")
    assert access == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "worker",
        "sasl_plain_password": SECRET,
    }
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert [ca["subject"] for ca in context.get_ca_certs()] == [((("commonName", "test"),),)]


def test_without_a_ca_the_machines_own_are_trusted(monkeypatch, files):
    monkeypatch.setenv("SSL_CERT_FILE", str(files["ca"]))
    context = kafka_access(Settings(kafka_security="SSL"))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) >= 1


def test_redis_gets_names_files_and_secrets_that_it_does_not_show(files):
    settings = Settings(
        redis=f"rediss://worker:{SECRET}@redis/0",
        redis_ca=files["ca"],
        redis_certificate=files["locked.certificate"],
        redis_key=files["locked.key"],
        redis_key_password=SecretStr(SECRET),
    )
    access = redis_access(settings)
    assert (access.username, access.password, access.key_password) == ("worker", SECRET, SECRET)
    assert SECRET not in repr(access)
    pool = redis_store(settings)._redis.connection_pool
    context = pool.make_connection().ssl_context.get()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("server", ["kafka", "redis"])
@pytest.mark.parametrize(
    ("ca", "certificate", "key", "password", "said"),
    [
        (
            "text",
            None,
            None,
            None,
            r"text is no CA certificate in PEM: no certificate or crl found",
        ),
        ("ca", "text", "key", None, "text with key .*key is no client certificate"),
        ("ca", "certificate", "other.key", None, "key values mismatch"),
        ("ca", "certificate", "text", None, "is no client certificate"),
        ("ca", "locked.certificate", "locked.key", None, "a key that is encrypted needs its pass"),
        ("ca", "locked.certificate", "locked.key", "wrong", "is no client certificate"),
    ],
)
def test_certificate_that_cannot_be_used_is_named(
    files, server, ca, certificate, key, password, said
):
    given = {
        f"{server}_ca": files[ca],
        f"{server}_certificate": certificate and files[certificate],
        f"{server}_key": key and files[key],
        f"{server}_key_password": password and SecretStr(password),
    }
    settings = Settings(kafka_security="SSL", redis="rediss://h", **given)
    with pytest.raises(ConfigurationError, match=said) as caught:
        (kafka_access if server == "kafka" else redis_access)(settings)
    assert "\n" not in str(caught.value)
