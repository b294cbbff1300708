"""The part of requirements.lock that some packages and what they need are pinned by.

The lock holds every extra; an image wants what the worker runs on. uv writes below each entry who
needs it: that is the graph. Run by the Dockerfile with nothing installed, so standard library only.

    python3 lock_part.py everscore >runtime.lock
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_PROJECT = "everscore"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
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


def _dependencies(pyproject: Path) -> set[str]:
    """What the project itself needs, without its extras."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    found = (_NAME.match(requirement) for requirement in project["dependencies"])
    return {_normal(match[0]) for match in found if match is not None}


def main() -> None:
    """Write the part for the packages named to standard output."""
    folder = Path.cwd()
    roots: set[str] = set()
    for name in sys.argv[1:]:
        roots |= _dependencies(folder / "pyproject.toml") if name == _PROJECT else {name}
    lock = (folder / "requirements.lock").read_text(encoding="utf-8")
    sys.stdout.write(lock_part(lock, roots) + "\n")


if __name__ == "__main__":
    main()
