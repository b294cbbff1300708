"""The part of requirements.lock that some packages and what they need are pinned by.

The lock holds every extra; an image wants what the worker runs on. uv writes below each entry who
needs it: that is the graph. Run by the Dockerfile with nothing installed, so standard library only.

    python3 lock_part.py everscore 'everscore[serve]' >runtime.lock
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

_PROJECT = "everscore"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(rf"{_PROJECT}\[([a-z]+)\]")
_VIA = re.compile(r"^ +# +(?:via )?(?!via$)([a-z0-9._-]+)(?: \(pyproject\.toml\))?$")


def lock_part(lock: str, roots: set[str]) -> str:
    r"""Entries of a lock for some packages and everything they need.

    Parameters
    ----------
    lock : str
        As `uv pip compile --generate-hashes` writes it, with its comments.
    roots : set of str
        Names of packages in it.

    Raises
    ------
    ValueError
        A root is not in the lock.

    Examples
    --------
    >>> lock = "a==1 \\\n    --hash=x\n    # via\n    #   b\nb==2 \\\n    --hash=y\nc==3\n    # via a\n"
    >>> print(lock_part(lock, {"b"}))
    a==1 \
        --hash=x
        # via
        #   b
    b==2 \
        --hash=y
    c==3
        # via a
    """
    entries = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    named = [(_normal(found[0]), entry) for entry in entries if (found := _NAME.match(entry))]
    missing = roots - {name for name, _ in named}
    if missing:
        raise ValueError(f"not in the lock: {', '.join(sorted(missing))}")
    wanted = set(roots)
    while True:
        more = {name for name, entry in named if name not in wanted and _via(entry) & wanted}
        if not more:
            return "".join(entry for name, entry in named if name in wanted).rstrip("\n")
        wanted |= more


def _via(entry: str) -> set[str]:
    """Who needs a package."""
    found = (_VIA.match(line) for line in entry.splitlines())
    return {match[1] for match in found if match is not None}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def roots_of(names: Iterable[str], pyproject: str) -> set[str]:
    r"""Packages of the lock that some names mean: the project is what it needs, not itself.

    Parameters
    ----------
    names : iterable of str
        `everscore`, an extra such as `everscore[serve]` (which is the extra alone), or packages.
    pyproject : str

    Raises
    ------
    KeyError
        There is no such extra.

    Examples
    --------
    >>> project = "[project]\ndependencies = ['a>=1']\noptional-dependencies = {x = ['B_c[d]>=2']}"
    >>> sorted(roots_of(["everscore", "everscore[x]", "e"], project))
    ['a', 'b-c', 'e']
    """
    project = tomllib.loads(pyproject)["project"]
    roots: set[str] = set()
    for name in names:
        extra = _EXTRA.fullmatch(name)
        if extra is not None:
            roots |= _names(project["optional-dependencies"][extra[1]])
        else:
            roots |= _names(project["dependencies"]) if name == _PROJECT else {name}
    return roots


def _names(requirements: Iterable[str]) -> set[str]:
    found = (_NAME.match(requirement) for requirement in requirements)
    return {_normal(match[0]) for match in found if match is not None}


def main() -> None:
    """Write the part for the packages named to standard output."""
    folder = Path.cwd()
    roots = roots_of(sys.argv[1:], (folder / "pyproject.toml").read_text(encoding="utf-8"))
    lock = (folder / "requirements.lock").read_text(encoding="utf-8")
    sys.stdout.write(lock_part(lock, roots) + "\n")


if __name__ == "__main__":
    main()
