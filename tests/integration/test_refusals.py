"""Servers that turn us away, played by a few lines each: every way of it is one clear line."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.security.certificates import Authority, Certificate
from schemas.errors import BrokerUnavailableError, ConfigurationError, StoreUnavailableError
from state import redis_link
from streams import kafka_check
from streams.app import EXIT_UNAVAILABLE
from streams.connections import redis_store
from streams.kafka_check import check_kafka
from streams.settings import Settings

REPOSITORY = Path(__file__).parents[2]
START_AT_ONCE = """
import sys
from state.memory_store import MemoryStore
from streams.app import run_worker
from streams.settings import Settings
run_worker(Settings(kafka=sys.argv[1]), MemoryStore())
"""
pytestmark = pytest.mark.integration
LONG_AGO = datetime.now(UTC) - timedelta(days=400)
NOT_YET = datetime.now(UTC) + timedelta(days=30)
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(kafka_check, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(kafka_check, "_ANSWER_SECONDS_MAX", 1.0)
    monkeypatch.setattr(redis_link, "_PAUSE_SECONDS", 0.01)


class Certificates:
    """A CA, and files of what it signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create("test")
        self.ca = self.write("ca.pem", self.authority.own.certificate)

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def context(self, made: Certificate, *, asks_clients: bool = False) -> ssl.SSLContext:
        """TLS of a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(
            self.write("s.pem", made.certificate), self.write("s.key", made.key)
        )
        if asks_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server at `127.0.0.1:port` that talks like that to everybody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hears the first word and hangs up."""
    await reader.read(1)


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1_000):
        pass


async def talks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


async def greets_then_closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A Kafka that answers which versions it speaks, and hangs up when asked for more."""
    size = struct.unpack(">i", await reader.readexactly(4))[0]
    request = await reader.readexactly(size)
    versions = struct.pack(">hhh", 3, 0, 5) + struct.pack(">hhh", 18, 0, 0)
    body = request[4:8] + struct.pack(">hi", 0, 2) + versions
    writer.write(struct.pack(">i", len(body)) + body)
    await writer.drain()
    await reader.readexactly(4)


async def said_by_kafka(settings: Settings) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await check_kafka(settings, topics=["transactions"])
    return one_line(caught.value, f"Kafka at {settings.kafka}")


def one_line(error: Exception, server: str) -> str:
    said = str(error)
    assert said.startswith(server)
    assert "\n" not in said
    assert "Traceback" not in said
    return said


async def said_by_redis(settings: Settings) -> str:
    store = redis_store(settings)
    try:
        with pytest.raises(ConfigurationError) as caught:
            await store.check()
    finally:
        await store.close()
    return one_line(caught.value, f"Redis at {settings.redis}")


# --- Certificates, shown to both clients


async def said(server: str, address: str, **files: Path) -> str:
    """What a client says of a TLS server it cannot talk to."""
    given = {f"{server}_{name}": path for name, path in files.items()}
    if server == "kafka":
        return await said_by_kafka(Settings(kafka=address, kafka_security="SSL", **given))
    return await said_by_redis(Settings(redis=f"rediss://{address}", **given))


@pytest.mark.parametrize("server", ["kafka", "redis"])
async def test_certificate_of_another_ca_is_not_trusted(server, certificates, tmp_path):
    stranger = Authority.create("stranger").issue_server(["127.0.0.1"])
    async with serving(says_nothing, certificates.context(stranger)) as address:
        words = await said(server, address, ca=certificates.ca)
    assert "shows a certificate that we do not trust" in words
    assert f"EVERSCORE_{server.upper()}_CA" in words


@pytest.mark.parametrize("server", ["kafka", "redis"])
@pytest.mark.parametrize(
    ("names", "days", "begins", "expected"),
    [
        (["127.0.0.1"], 30, LONG_AGO, "has expired"),
        (["127.0.0.1"], 30, NOT_YET, "is not valid yet. Compare the clocks"),
        (["kafka.example", "127.0.0.2"], 30, None, "of another name"),
    ],
)
async def test_certificate_that_does_not_fit_is_named(
    server, names, days, begins, expected, certificates
):
    issued = certificates.authority.issue_server(names, days=days, now=begins)
    async with serving(says_nothing, certificates.context(issued)) as address:
        assert expected in await said(server, address, ca=certificates.ca)


@pytest.mark.parametrize("server", ["kafka", "redis"])
async def test_server_that_asks_for_a_certificate_wants_one(server, certificates):
    issued = certificates.authority.issue_server(["127.0.0.1"])
    context = certificates.context(issued, asks_clients=True)
    async with serving(says_nothing, context) as address:
        words = await said(server, address, ca=certificates.ca)
    assert "wants to see a certificate of ours" in words
    assert f"EVERSCORE_{server.upper()}_CERTIFICATE" in words


@pytest.mark.parametrize("server", ["kafka", "redis"])
@pytest.mark.parametrize("which", ["of a stranger", "expired", "for servers"])
async def test_certificate_of_ours_that_is_refused(server, which, certificates):
    made = {
        "of a stranger": lambda: Authority.create("stranger").issue_client("worker"),
        "expired": lambda: certificates.authority.issue_client("worker", days=1, now=LONG_AGO),
        "for servers": lambda: certificates.authority.issue_server(["worker"]),
    }[which]()
    files = {
        "ca": certificates.ca,
        "certificate": certificates.write("c.pem", made.certificate),
        "key": certificates.write("c.key", made.key),
    }
    issued = certificates.authority.issue_server(["127.0.0.1"])
    context = certificates.context(issued, asks_clients=True)
    async with serving(says_nothing, context) as address:
        words = await said(server, address, **files)
    assert "refused our certificate: it" in words


@pytest.mark.parametrize("server", ["kafka", "redis"])
@pytest.mark.parametrize("talk", [talks_http, closes])
async def test_tls_where_nobody_speaks_it(server, talk, certificates):
    async with serving(talk) as address:
        assert "does not speak TLS on this port" in await said(server, address, ca=certificates.ca)


# --- Kafka


@pytest.mark.parametrize(
    ("security", "wanted"), [("PLAINTEXT", "SSL or SASL_SSL"), ("SASL_PLAINTEXT", "SASL_SSL")]
)
async def test_broker_that_closes_at_the_first_word_seems_to_want_tls(security, wanted):
    who = {"kafka_username": "w", "kafka_password": "p"} if "SASL" in security else {}
    async with serving(closes) as address:
        words = await said_by_kafka(Settings(kafka=address, kafka_security=security, **who))
    assert "closes the connection at the first word: it seems to want TLS" in words
    assert f"Set EVERSCORE_KAFKA_SECURITY to {wanted}, or" in words


async def test_broker_that_closes_when_asked_seems_to_want_a_name():
    async with serving(greets_then_closes) as address:
        words = await said_by_kafka(Settings(kafka=address))
    assert "seems to want a user name" in words
    assert "Set EVERSCORE_KAFKA_SECURITY to SASL_PLAINTEXT" in words


async def test_broker_that_closes_once_and_is_gone_is_away_and_not_misconfigured():
    connections = 0
    async with serving(closes) as address:
        pass  # its port is free again

    async def closes_for_good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        server.close()
        writer.close()

    host, _, port = address.partition(":")
    server = await asyncio.start_server(closes_for_good, host, int(port))
    with pytest.raises(BrokerUnavailableError, match="does not answer: Connection refused"):
        await check_kafka(Settings(kafka=address))
    assert connections == 1


@pytest.mark.parametrize("security", ["PLAINTEXT", "SSL"])
async def test_broker_that_says_nothing_is_given_up_in_time(security):
    async with serving(says_nothing) as address, asyncio.timeout(10):
        with pytest.raises(BrokerUnavailableError, match="does not answer: it says nothing") as it:
            await check_kafka(Settings(kafka=address, kafka_security=security))
    assert it.value.retriable


async def test_every_bootstrap_server_is_tried_and_the_worst_refusal_told():
    async with serving(closes) as address:
        with pytest.raises(ConfigurationError, match=f"Kafka at {address} closes"):
            await check_kafka(Settings(kafka=f"127.0.0.1:1,{address}"))


# --- Redis


def redis_that(**answers: bytes) -> Talk:
    """A Redis that answers commands by their first word, in lower case; else that it knows none."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            name = words[0].decode().lower()
            writer.write(answers.get(name, b"-ERR unknown command `%s`\r\n" % words[0]))
            await writer.drain()

    return talk


HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"


def bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text.encode())


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ("redis_version:6.0.16\r\n", "6.0.16"),
        ("redis_mode:standalone\r\n", "unknown"),
        ("redis_version:unstable\r\n", "unstable"),
    ],
)
async def test_redis_that_is_too_old_is_refused_by_its_version(info, version):
    async with serving(redis_that(info=bulk(info), hello=HELLO)) as address:
        words = await said_by_redis(Settings(redis=f"redis://{address}"))
    assert f"is version {version}. 6.2 or later is needed." in words


async def test_redis_before_6_is_refused_by_what_it_does_not_know():
    async with serving(redis_that(info=bulk("redis_version:5.0.14\r\n"))) as address:
        words = await said_by_redis(Settings(redis=f"redis://{address}"))
    assert "6.2 or later is needed." in words


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"-NOAUTH Authentication required.\r\n", "asks for a password. Set EVERSCORE_REDIS_PASS"),
        (b"-DENIED Redis is running in protected mode\r\n", "protected mode"),
        (
            b"-NOPERM this user has no permissions to run the 'info' command\r\n",
            "does not let us do that: this user has no permissions to run the 'info' command",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer as Redis does"),
    ],
)
async def test_redis_that_refuses_to_answer(answer, expected):
    async with serving(redis_that(info=answer, client=b"+OK\r\n", hello=answer)) as address:
        assert expected in await said_by_redis(Settings(redis=f"redis://{address}"))


async def test_password_that_redis_does_not_ask_for():
    answer = (
        b"-ERR AUTH <password> called without any password configured for the default user. "
        b"Are you sure your configuration is correct?\r\n"
    )
    async with serving(redis_that(auth=answer, hello=answer)) as address:
        words = await said_by_redis(Settings(redis=f"redis://:secret@{address}"))
    assert "asks for no password, and we sent one. Unset EVERSCORE_REDIS_PASSWORD" in words
    assert "secret" not in words


async def test_redis_that_closes_at_the_first_word_may_want_tls():
    async with serving(closes) as address:
        words = await said_by_redis(Settings(redis=f"redis://{address}"))
    assert "closed the connection. If it speaks TLS only, EVERSCORE_REDIS must begin with" in words


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_redis_that_says_nothing_is_given_up_in_time(scheme, monkeypatch):
    monkeypatch.setattr(redis_link, "_ANSWER_SECONDS_MAX", 1.0)
    monkeypatch.setattr(redis_link, "_CONNECT_SECONDS_MAX", 1.0)
    async with serving(says_nothing) as address:
        store = redis_store(Settings(redis=f"{scheme}://{address}"))
        async with asyncio.timeout(10):
            with pytest.raises(StoreUnavailableError, match=r"does not answer: \w*imeout") as it:
                await store.check()
        await store.close()
    if scheme == "rediss":
        assert re.search("If it does not speak TLS on this port", str(it.value))


def test_kafka_that_went_away_since_the_worker_looked_is_one_line_too():
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"127.0.0.1:{server.getsockname()[1]}"
    worker = subprocess.run(
        [sys.executable, "-c", START_AT_ONCE, gone],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert worker.returncode == EXIT_UNAVAILABLE
    assert f"everscore worker stops: Kafka at {gone} does not answer" in worker.stderr
    assert "Traceback" not in worker.stderr
