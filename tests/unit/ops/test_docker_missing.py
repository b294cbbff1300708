"""Why there is no Docker stack: one line each, within seconds."""

import socket
import sys

import pytest

from ops.stack.docker import DockerStack, docker_missing
from schemas.errors import ConfigurationError


@pytest.fixture
def engine_at(monkeypatch):
    def put(address):
        monkeypatch.setenv("DOCKER_HOST", address)

    return put


def test_package_that_is_missing_is_named_with_the_extra_that_brings_it(monkeypatch):
    for module in ("ops.stack.container_engine", "ops.stack.containers"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "testcontainers.core.config", None)
    why = docker_missing()
    assert "testcontainers" in why
    assert "everscore[docker]" in why


def test_engine_that_is_not_there_is_said(engine_at, tmp_path):
    engine_at(f"unix://{tmp_path}/nobody.sock")
    assert "does not answer" in docker_missing()


def test_engine_that_hangs_is_not_waited_for(engine_at, tmp_path):
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(f"{tmp_path}/hung.sock")
        hanging.listen()
        engine_at(f"unix://{tmp_path}/hung.sock")
        assert "does not answer" in docker_missing()


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:2376", "ssh://somebody@192.0.2.1"])
def test_engine_of_another_machine_is_named_and_not_asked(engine_at, address):
    engine_at(address)
    assert address in docker_missing()


def test_start_without_an_engine_says_the_same_and_leaves_nothing(engine_at, tmp_path):
    engine_at(f"unix://{tmp_path}/nobody.sock")
    stack = DockerStack()
    with pytest.raises(ConfigurationError, match="does not answer"):
        stack.start()
    stack.stop()
    with pytest.raises(ConfigurationError, match="does not run"):
        _ = stack.redis
