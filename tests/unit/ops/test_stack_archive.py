"""The class archive of Kafka: used when it is whole, made when it can be, never in the way."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ops.stack.class_archive import ClassArchive
from ops.stack.java import shares_classes


def java(folder: Path, code: int) -> str:
    path = folder / f"java-{code}"
    path.write_text(f'#!/bin/sh\necho "$@" > {folder / "asked"}\nexit {code}\n')
    path.chmod(0o755)
    return str(path)


def made_in(folder: Path) -> Path:
    made = folder / "classes.jsa"
    made.write_bytes(b"classes")
    return made


def test_absent_archive_is_made_and_a_present_one_used(tmp_path: Path) -> None:
    archive = ClassArchive("java", "a.jar", tmp_path / "kafka.jsa")
    assert archive.options() == []
    assert f"-XX:ArchiveClassesAtExit={tmp_path}/new" in archive.options(make=tmp_path / "new")
    (tmp_path / "kafka.jsa").touch()
    for options in (archive.options(), archive.options(make=tmp_path / "new")):
        assert f"-XX:SharedArchiveFile={tmp_path}/kafka.jsa" in options
        assert not any("AtExit" in option for option in options)


def test_whole_archive_is_verified_on_its_class_path_and_adopted(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    archive = ClassArchive(java(tmp_path, 0), "a.jar:b.jar", cache / "kafka.jsa")
    made = made_in(tmp_path)
    assert archive.adopt(made) is True
    assert [path.name for path in cache.iterdir()] == ["kafka.jsa"]
    assert (cache / "kafka.jsa").read_bytes() == b"classes"
    assert not made.exists()
    asked = (tmp_path / "asked").read_text()
    assert "-Xshare:on -XX:+VerifySharedSpaces" in asked
    assert "-cp a.jar:b.jar" in asked


@pytest.mark.parametrize("code", [1, 134])
def test_archive_that_java_refuses_is_thrown_away(tmp_path: Path, code: int) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    archive = ClassArchive(java(tmp_path, code), "a.jar", cache / "kafka.jsa")
    made = made_in(tmp_path)
    assert archive.adopt(made) is False
    assert list(cache.iterdir()) == []
    assert not made.exists()


def test_archive_nobody_can_verify_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(command: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", never)
    archive = ClassArchive("java", "a.jar", tmp_path / "kafka.jsa")
    assert archive.adopt(made_in(tmp_path)) is False


def test_archive_made_meanwhile_by_another_stack_stays(tmp_path: Path) -> None:
    (tmp_path / "kafka.jsa").write_bytes(b"theirs")
    archive = ClassArchive(java(tmp_path, 0), "a.jar", tmp_path / "kafka.jsa")
    assert archive.adopt(made_in(tmp_path)) is True
    assert (tmp_path / "kafka.jsa").read_bytes() == b"theirs"


@pytest.mark.parametrize(("mode", "shares"), [("mixed mode, sharing", True), ("mixed mode", False)])
def test_java_says_whether_it_shares_classes(tmp_path: Path, mode: str, shares: bool) -> None:
    path = tmp_path / "java"
    path.write_text(f"#!/bin/sh\necho 'OpenJDK 64-Bit Server VM (build 17, {mode})' >&2\n")
    path.chmod(0o755)
    assert shares_classes(str(path)) is shares
