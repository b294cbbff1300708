"""Keys and policy as files: what is kept, who may read it, and what is said of a broken one."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from ops.api.keys import KeyFile, utc_now
from ops.api.policy import Role, read_policy
from ops.api.settings import ApiSettings
from ops.cli.main import app
from schemas.errors import ConfigurationError

NOW = utc_now()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "keys.json"


def test_file_keeps_no_key_and_is_for_its_owner_only(path: Path) -> None:
    _, text = KeyFile(path).create("phone", Role.PII_READER, now=NOW)
    assert text.split("_", 2)[2] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_key_is_found_by_itself_and_by_nothing_like_it(path: Path) -> None:
    keys = KeyFile(path)
    made, text = keys.create("phone", Role.READER, now=NOW)
    _, other = keys.create("till", Role.ADMIN, now=NOW)
    assert KeyFile(path).find(text, NOW) == made
    for wrong in (
        text[:-1],
        text + "A",
        text[:12] + other[12:],
        other[:12] + text[12:],
        "",
        "evs_",
    ):
        assert KeyFile(path).find(wrong, NOW) is None


def test_keys_made_at_once_are_all_kept_and_share_one_secret(path: Path) -> None:
    names = [f"key-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as several:
        made = list(
            several.map(lambda name: KeyFile(path).create(name, Role.READER, now=NOW)[1], names)
        )
    ring = KeyFile(path).read()
    assert ring is not None
    assert sorted(key.name for key in ring.keys) == names
    assert all(KeyFile(path).find(text, NOW) for text in made)


def test_file_made_before_its_keys_opens_nothing_and_keeps_its_secret(path: Path) -> None:
    before = KeyFile(path)
    before.prepare()
    secret = before.pseudonym_secret
    written = path.read_bytes()
    before.prepare()
    assert path.read_bytes() == written
    assert path.stat().st_mode & 0o777 == 0o600
    _, text = KeyFile(path).create("phone", Role.READER, now=NOW)
    found = KeyFile(path)
    assert found.find(text, NOW) is not None
    assert found.pseudonym_secret == secret


def test_broken_file_is_not_taken_for_one_without_keys(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(ConfigurationError, match="is no file of API keys"):
        KeyFile(path).prepare()
    assert path.read_text() == "{"


def test_pseudonyms_outlive_every_key(path: Path) -> None:
    keys = KeyFile(path)
    keys.create("first", Role.READER, now=NOW)
    secret = KeyFile(path).pseudonym_secret
    keys.revoke("first", now=NOW)
    keys.create("first", Role.READER, now=NOW)
    assert KeyFile(path).pseudonym_secret == secret


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a\n", "<b>"])
def test_name_that_is_none_is_refused_and_nothing_written(path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name of a key"):
        KeyFile(path).create(name, Role.READER, now=NOW)
    assert not path.exists()


def test_key_that_is_not_there_cannot_be_revoked(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no key 'nobody' to revoke.*key ls"):
        KeyFile(path).revoke("nobody", now=NOW)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"keys": 7, "pseudonym_secret": "x"}', "\xff"])
def test_broken_file_opens_nothing_and_is_not_overwritten(path: Path, text: str) -> None:
    keys = KeyFile(path)
    _, key = keys.create("phone", Role.READER, now=NOW)
    path.write_text(text)
    assert KeyFile(path).find(key, NOW) is None
    with pytest.raises(ConfigurationError, match="is no file of API keys"):
        keys.create("till", Role.READER, now=NOW)
    assert path.read_text() == text


def test_commands_make_list_and_revoke(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERSCORE_API_KEYS", str(path))
    run = CliRunner()
    assert "everscore key create" in run.invoke(app, ["key", "ls"]).stdout.replace("\n", " ")
    made = run.invoke(app, ["key", "create", "phone", "--role", "pii-reader", "--json"])
    key = json.loads(made.stdout)
    assert KeyFile(path).find(key["key"], utc_now()) is not None
    listed = json.loads(run.invoke(app, ["key", "ls", "--json"]).stdout)
    assert [(one["name"], one["role"], one["revoked_at"]) for one in listed] == [
        ("phone", "pii-reader", None)
    ]
    assert key["key"] not in run.invoke(app, ["key", "ls"]).stdout
    assert run.invoke(app, ["key", "revoke", "phone"]).exit_code == 0
    assert KeyFile(path).find(key["key"], utc_now()) is None
    assert "revoked" in run.invoke(app, ["key", "ls"]).stdout


@pytest.mark.parametrize(
    "arguments", [["create", "x", "--role", "boss"], ["revoke", "nobody"], ["create", "a b"]]
)
def test_command_that_cannot_be_done_ends_with_one_line_and_78(
    path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("EVERSCORE_API_KEYS", str(path))
    done = CliRunner().invoke(app, ["key", *arguments])
    assert done.exit_code == 78
    assert done.stderr.startswith("error ")
    assert "Traceback" not in done.output


# --- policy and settings


def test_policy_of_the_package_shows_ids_to_those_only_who_are_named_for_it() -> None:
    roles = read_policy().roles
    assert {role for role, rights in roles.items() if rights.ids == "clear"} == {
        Role.PII_READER,
        Role.ADMIN,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("roles: [", "is not YAML"),
        ("", "the file"),
        ("roles: {}", "says nothing of reader, pii-reader, operator, admin"),
        ("roles: {reader: {may: [fly]}}", r"roles.reader.may.*'fly'"),
        ("roles: {boss: {}}", "boss"),
        ("rolls: {}", "roles"),
    ],
)
def test_policy_that_is_none_names_file_and_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as refused:
        read_policy(path)
    assert str(path) in str(refused.value)


def test_policy_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read policy"):
        read_policy(tmp_path / "none.yaml")


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "::", "example.org"])
def test_nobody_serves_everybody_without_keys(host: str) -> None:
    with pytest.raises(ValidationError, match="everybody could read"):
        ApiSettings(host=host, authentication=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_oneself_is_served_without_keys(host: str) -> None:
    assert not ApiSettings(host=host, authentication=False).authentication


def test_setting_that_cannot_be_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERSCORE_API_PORT", "lots")
    done = CliRunner().invoke(app, ["serve"])
    assert done.exit_code == 78
    assert "EVERSCORE_API_PORT" in done.stderr


def test_without_the_extra_the_command_says_what_to_install(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERSCORE_API_KEYS", str(path))
    monkeypatch.setitem(sys.modules, "yaml", None)
    for room in ("ops.api.keys", "ops.api.policy"):
        monkeypatch.delitem(sys.modules, room)
    done = CliRunner().invoke(app, ["key", "ls"])
    assert done.exit_code == 78
    assert "pip install 'everscore[serve]'" in done.stderr.replace("\n", " ")
