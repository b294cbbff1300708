"""What could be had here, found out without starting anything."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.stack import at_hand
from ops.stack.at_hand import StackKind, java_version_on_paper, real_stacks_here
from ops.stack.settings import StackSettings


def java(folder: Path, version: str) -> Path:
    """The home of a Java that must not be run."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "java"
    program.write_text("#!/bin/sh\ntouch started\n")
    program.chmod(0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    """A machine with nothing on its PATH and no Docker."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return StackSettings(
        cache=tmp_path / "cache", java_home=None, docker_host=f"unix://{tmp_path}/docker.sock"
    )


@contextmanager
def engine(path: Path, answer: bytes) -> Iterator[None]:
    """Something that answers on a socket as an engine would."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                assert connection.recv(100).startswith(b"GET /_ping ")
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        yield
        serving.join()


@pytest.mark.parametrize(
    ("version", "feature"), [("17.0.15", 17), ("1.8.0_402", 8), ("25", 25), ("soon", None)]
)
def test_version_of_a_java_is_read_from_its_release_file(
    tmp_path: Path, version: str, feature: int | None
) -> None:
    home = java(tmp_path / "jdk", version)
    link = tmp_path / "java"
    link.symlink_to(home / "bin" / "java")
    assert java_version_on_paper(link) == feature
    assert java_version_on_paper(tmp_path / "elsewhere" / "java") is None


def test_bare_machine_has_only_what_needs_nothing(machine: StackSettings) -> None:
    assert real_stacks_here(machine) == {}


def test_java_with_the_jars_or_with_maven_could_run_the_local_stack(
    machine: StackSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = machine.model_copy(update={"java_home": java(tmp_path / "old", "11.0.2")})
    new = machine.model_copy(update={"java_home": java(tmp_path / "new", "21.0.1")})
    assert real_stacks_here(new) == {}  # nothing to fetch Kafka with
    maven = tmp_path / "path" / "mvn"
    maven.parent.mkdir()
    maven.touch(0o755)
    assert list(real_stacks_here(new)) == [StackKind.LOCAL]
    assert "Maven fetches" in real_stacks_here(new)[StackKind.LOCAL]
    monkeypatch.setattr(at_hand, "cached_jars", lambda cache: cache)
    assert "Java 21 and Kafka" in real_stacks_here(new)[StackKind.LOCAL]
    assert real_stacks_here(old) == {}
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [(b"HTTP/1.0 200 OK\r\n\r\nOK", [StackKind.DOCKER]), (b"HTTP/1.0 500 Oh\r\n\r\n", [])],
)
def test_docker_is_there_if_its_engine_answers(
    machine: StackSettings, tmp_path: Path, answer: bytes, kinds: list[StackKind]
) -> None:
    with engine(tmp_path / "docker.sock", answer):
        assert list(real_stacks_here(machine)) == kinds


def test_engine_of_another_machine_is_not_asked(machine: StackSettings) -> None:
    elsewhere = machine.model_copy(update={"docker_host": "tcp://10.0.0.1:2375"})
    assert real_stacks_here(elsewhere) == {}
