"""What Kafka runs on: a Java of this machine, and Kafka's jars, fetched once by Maven.

Owns the search for both and the jars' cache. Starts no server.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from ops.stack.processes import held
from schemas.errors import ConfigurationError

POM = Path(__file__).with_name("pom.xml")
JAVA_VERSION_MIN = 17  # Kafka's brokers since 4.0
_JAVA_SECONDS_MAX = 20.0  # it answers in 0.1 s; in seconds on a machine that is busy
_FETCH_SECONDS_MAX = 900.0  # 45 MB of jars and Maven's own plugins, over a slow line
_STAMP = "pom.sha256"

_JAVA_HINT = (
    "Install a Java runtime (Debian: apt install openjdk-17-jre-headless; macOS: brew install "
    "openjdk), or name one in JAVA_HOME."
)
_MAVEN_HINT = "Install Maven (Debian: apt install maven; macOS: brew install maven)."
_NETWORK_HINT = (
    "The first start needs Maven Central; a mirror or a proxy belongs in ~/.m2/settings.xml."
)


def kafka_version() -> str:
    """The version of Kafka that the POM names.

    Examples
    --------
    >>> kafka_version().split(".")[0]
    '4'
    """
    found = re.search(r"<kafka\.version>([0-9.]+)</kafka\.version>", POM.read_text())
    assert found is not None, POM  # noqa: S101 - a broken installation
    return found[1]


def find_java(java_home: Path | None = None) -> str:
    """Path of a Java new enough for Kafka.

    Parameters
    ----------
    java_home : Path, optional
        A Java installation to prefer to the one on PATH.

    Returns
    -------
    str

    Raises
    ------
    ConfigurationError
        There is none; the message says what there is.
    """
    too_old = []
    for java in java_candidates(java_home):
        version = _java_version(java)
        if version is not None and version >= JAVA_VERSION_MIN:
            return java
        if version is not None:
            too_old.append(f"{java} is Java {version}")
    raise ConfigurationError(
        f"Kafka {kafka_version()} needs Java {JAVA_VERSION_MIN} or newer; "
        f"{', '.join(too_old) or 'there is none'}.",
        hint=_JAVA_HINT,
    )


def java_candidates(java_home: Path | None) -> list[str]:
    """Where a Java may be, the preferred one first; whether there is one is not asked."""
    named = [] if java_home is None else [str(java_home / "bin" / "java")]
    on_path = shutil.which("java")
    return named if on_path is None else [*named, on_path]


def shares_classes(java: str) -> bool:
    """Whether a Java has an archive of its own classes, which one of Kafka's builds upon."""
    return ", sharing" in _says(java)


def java_identity(java: str) -> str:
    """Short name of one Java, another after every update of it."""
    return hashlib.sha256(f"{java}\n{_says(java)}".encode()).hexdigest()[:12]


def _java_version(java: str) -> int | None:
    """Feature version of a Java; None where there is none, as behind macOS's placeholder."""
    found = re.search(r'version "(?:1\.)?(\d+)', _says(java))  # Java 8 calls itself 1.8
    return int(found[1]) if found else None


@functools.cache
def _says(java: str) -> str:
    """What a Java says of its version; nothing if it does not run."""
    try:
        return subprocess.run(  # noqa: S603 - our own words only
            [java, "-version"],
            capture_output=True,
            text=True,
            timeout=_JAVA_SECONDS_MAX,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return ""


def find_maven() -> str:
    """Path of Maven.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(
            f"Fetching Kafka {kafka_version()} needs Maven, and there is no mvn on PATH.",
            hint=_MAVEN_HINT,
        )
    return maven


def cached_jars(cache: Path) -> Path | None:
    """Folder of Kafka's jars, or None if they still have to be fetched."""
    folder = cache / f"kafka-{kafka_version()}"
    try:
        return folder if (folder / _STAMP).read_text() == _stamp() else None
    except OSError:
        return None


def kafka_jars(cache: Path) -> Path:
    """Folder of Kafka's jars, fetched by Maven unless they are there.

    Parameters
    ----------
    cache : Path
        They live in its `kafka-<version>`; complete or absent, whatever interrupts the fetch.

    Returns
    -------
    Path

    Raises
    ------
    ConfigurationError
        No Maven, or Maven could not fetch them; the message carries its first error.
    """
    found = cached_jars(cache)
    if found is not None:
        return found
    maven = find_maven()
    cache.mkdir(parents=True, exist_ok=True)
    with held(cache / f"kafka-{kafka_version()}.lock"):
        return cached_jars(cache) or _fetch(maven, cache / f"kafka-{kafka_version()}")


def _fetch(maven: str, folder: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as temporary:
        fetched = Path(temporary) / "jars"
        command = [
            maven, "--quiet", "--batch-mode", "--strict-checksums", "--file", str(POM),
            "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fetched}",
        ]  # fmt: skip
        try:
            run = subprocess.run(  # noqa: S603 - our own words only
                command,
                capture_output=True,
                text=True,
                timeout=_FETCH_SECONDS_MAX,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise ConfigurationError(
                f"Maven had not fetched Kafka after {_FETCH_SECONDS_MAX:.0f} s.", hint=_NETWORK_HINT
            ) from None
        if run.returncode != 0 or not any(fetched.glob("kafka_*.jar")):
            raise ConfigurationError(
                f"Maven could not fetch Kafka {kafka_version()}: "
                f"{_first_error(run.stdout + run.stderr)}",
                hint=_NETWORK_HINT,
            )
        (fetched / _STAMP).write_text(_stamp())
        if folder.exists():  # of another POM
            folder.rename(Path(temporary) / "old")
        fetched.rename(folder)
    return folder


def _stamp() -> str:
    return hashlib.sha256(POM.read_bytes()).hexdigest()


def _first_error(output: str) -> str:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output).strip().splitlines() or ["it said nothing."]
    errors = [line for line in lines if line.startswith("[ERROR]")]
    return (errors or lines[-1:])[0].removeprefix("[ERROR] ")
