"""Checks of this side: the libraries in use against those we are made for, and codecs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from aiokafka.codec import has_lz4, has_snappy, has_zstd
from packaging.requirements import Requirement

from ops.doctor.finding import Finding, Mend, Problem, Verdict, gathered
from streams.settings import Settings

_PACKAGE = "everscore"
_SHOWN = ("faust-streaming", "aiokafka", "redis", "numpy")
COMPILED = (
    "schemas._decoding",
    "scoring._advancing",
    "scoring._booking",
    "scoring._columns",
    "scoring._rendering",
    "scoring._scoring",
    "state._hashes",
    "streams._homes",
    "streams._records",
)
_COMPILE = (
    "apt-get install gcc libc6-dev python3-dev",
    "pip install --force-reinstall --no-deps .",
)
CODECS: dict[str, Callable[[], bool]] = {
    "snappy": has_snappy,
    "lz4": has_lz4,
    "zstd": has_zstd,
}


def installed() -> dict[str, tuple[str, str | None]] | None:
    """Range we are made for and version in use of every library; None where we are not installed."""
    try:
        lines = requires(_PACKAGE) or []
    except PackageNotFoundError:
        return None
    found: dict[str, tuple[str, str | None]] = {}
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found[requirement.name] = (str(requirement.specifier), _version(requirement.name))
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def check_libraries(found: Mapping[str, tuple[str, str | None]] | None) -> Finding:
    """Whether every library is one of those we are made for.

    Parameters
    ----------
    found : mapping of str to tuple of str
        As `installed` gives it.
    """
    name = "software.libraries"
    if found is None:
        said = "versions are not known: Everscore runs without being installed"
        return Finding(name, Verdict.UNKNOWN, said, (Mend("Install it:", ("pip install -e .",)),))
    wrong = {
        library: (wanted, there)
        for library, (wanted, there) in found.items()
        if there is None
        or not Requirement(f"x{wanted}").specifier.contains(there, prereleases=True)
    }
    problems = [
        Problem(
            Verdict.FAIL,
            f"{library} {there or 'is missing'}, but {wanted or 'any version'} is needed",
            Mend("Install what fits:", (f"pip install '{library}{wanted}'",)),
        )
        for library, (wanted, there) in wrong.items()
    ]
    said = ", ".join(f"{library} {found[library][1]}" for library in _SHOWN if library in found)
    values = {library: there for library, (_, there) in found.items()}
    return gathered(name, f"{said}: in range", problems, values)


def check_compiled(missing: Sequence[str]) -> Finding:
    """Whether what was to be compiled was, when this was installed.

    Parameters
    ----------
    missing : modules that were not
    """
    problems = [
        Problem(
            Verdict.WARNING,
            f"{name} is not compiled: Python does the same, slower",
            Mend("Install a C compiler and Python's headers, then Everscore:", _COMPILE),
        )
        for name in missing
    ]
    return gathered("software.compiled", f"{', '.join(COMPILED)} are", problems)


def not_compiled() -> list[str]:
    """Compiled modules that are not there."""
    return [name for name in COMPILED if find_spec(name) is None]


def check_compression(settings: Settings) -> Finding | None:
    """Whether what we publish can be compressed; None where it need not be."""
    codec = CODECS.get(settings.compression)
    if codec is None:
        return None
    missing = Problem(
        Verdict.FAIL,
        f"EVERSCORE_COMPRESSION={settings.compression}, but its library is missing",
        Mend("Install it, or compress with gzip:", ("pip install 'aiokafka[all]'",)),
    )
    found = f"EVERSCORE_COMPRESSION={settings.compression} works"
    return gathered("software.compression", found, [] if codec() else [missing])
