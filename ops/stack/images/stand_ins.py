"""Stand-ins under the images' own names, from debootstrap, Debian's packages and Kafka's jars.

Owns which exist and when they are built anew. An image that a registry gave is never touched: every
stand-in carries a label, with the digest of what it was built from.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ops.stack.images import BASE_IMAGE, KAFKA_IMAGE, REDIS_IMAGE
from ops.stack.images.base_system import import_base, local_certificates
from ops.stack.images.commands import need, run
from ops.stack.java import POM, kafka_jars
from ops.stack.processes import held
from ops.stack.settings import StackSettings
from schemas.errors import ConfigurationError

LABEL = "everscore.stand-in"

_RECIPES = Path(__file__).parent
_ASK_SECONDS_MAX = 30.0
_PULL_SECONDS_MAX = 900.0
_BUILD_SECONDS_MAX = 1800.0  # 20 s; 60 MB of packages over a slow line
_HINT = "`make services` installs it on Debian."

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """An image that the engine has.

    Attributes
    ----------
    identity : str
    stand_in : str or None
        Digest of what it was built from; None if it is no stand-in.
    size_mb : float
    """

    identity: str
    stand_in: str | None
    size_mb: float


def ensure_images(say: Say) -> None:
    """Have every image: as it is, from a registry, or as a stand-in.

    Parameters
    ----------
    say : callable
        Takes a line of progress.

    Raises
    ------
    ConfigurationError
        No engine, or a stand-in cannot be built; the message says what is missing.
    """
    need("docker", _HINT)
    with held(StackSettings().cache / "images.lock"):
        _ensure(BASE_IMAGE, _base_digest(), _build_base, say)
        _ensure(REDIS_IMAGE, _digest("redis"), _build_redis, say)
        _ensure(KAFKA_IMAGE, _digest("kafka", POM), _build_kafka, say)


def find_image(name: str) -> Found | None:
    """An image by its name; None if the engine does not have it.

    Raises
    ------
    ConfigurationError
        The engine does not answer.
    """
    listed = run(["docker", "image", "ls", "--quiet", name], _ASK_SECONDS_MAX)
    if not listed.strip():
        return None
    told = json.loads(run(["docker", "image", "inspect", name], _ASK_SECONDS_MAX))[0]
    labels = told["Config"].get("Labels") or {}
    return Found(told["Id"], labels.get(LABEL), told["Size"] / 1e6)


def _ensure(image: str, digest: str, build: Callable[[str, str], None], say: Say) -> None:
    found = find_image(image)
    if found is not None and found.stand_in in {None, digest}:
        kind = "the public image" if found.stand_in is None else "a stand-in, up to date"
        say(f"{image}: {kind}, {found.size_mb:.0f} MB")
        return
    if found is None and _pull(image):
        say(f"{image}: pulled")
        return
    say(f"{image}: no registry gives it; building a stand-in …")
    began = time.monotonic()
    build(image, f"{LABEL}={digest}")
    built = find_image(image)
    assert built is not None, image  # noqa: S101 - the engine has just said so
    if found is not None and found.identity != built.identity:
        _forget(found.identity)
    say(f"{image}: built in {time.monotonic() - began:.1f} s, {built.size_mb:.0f} MB")


def _pull(image: str) -> bool:
    try:
        run(["docker", "pull", "--quiet", image], _PULL_SECONDS_MAX)
    except ConfigurationError:
        return False
    return True


def _forget(identity: str) -> None:
    """Remove the stand-in of before, unless a container still runs on it."""
    try:
        run(["docker", "image", "rm", identity], _ASK_SECONDS_MAX)
    except ConfigurationError:
        return


def _base_digest() -> str:
    parts = [(_RECIPES / "base_system.py").read_bytes(), *local_certificates().values()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _digest(recipe: str, *others: Path) -> str:
    """Of everything that goes into an image; another base makes another image."""
    base = find_image(BASE_IMAGE)
    digest = hashlib.sha256(base.identity.encode() if base is not None else b"")
    files = sorted(path for path in (_RECIPES / recipe).rglob("*") if path.is_file())
    for path in (*files, *others):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _build_base(image: str, label: str) -> None:
    import_base(image, label)


def _build_redis(image: str, label: str) -> None:
    _build(_RECIPES / "redis", image, label)


def _build_kafka(image: str, label: str) -> None:
    jars = kafka_jars(StackSettings().cache)
    # Docker builds from a folder only, and the jars are in another one than the recipe.
    with tempfile.TemporaryDirectory(prefix="everscore-kafka-") as folder:
        context = Path(folder) / "context"
        shutil.copytree(_RECIPES / "kafka", context)
        (context / "jars").mkdir()
        for jar in jars.glob("*.jar"):
            shutil.copy(jar, context / "jars")
        _build(context, image, label)


def _build(context: Path, image: str, label: str) -> None:
    words = ["--build-arg", f"BASE_IMAGE={BASE_IMAGE}", "--label", label, "--tag", image]
    run(["docker", "build", *words, context], _BUILD_SECONDS_MAX)
