"""What a check says: a verdict, what was found, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """From the best to the worst; `max` by `severity` gives that of several."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    FAIL = "fail"

    @property
    def severity(self) -> int:
        """0 is best."""
        return list(Verdict).index(self)


@dataclass(frozen=True, slots=True)
class Mend:
    """How to mend something.

    Attributes
    ----------
    say : str
        For a person, one or two sentences.
    run : tuple of str
        Commands and settings, each to be pasted as it is.
    """

    say: str
    run: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes
    ----------
    name : str
        `section.check`, which stays as it is for machines.
    verdict : Verdict
    found : str
        With the values seen, on one line.
    mends : tuple of Mend
    values : mapping of str to Any
        What was found, for machines.
    unreachable : bool
        Whether a failure may pass by itself: a server is away, nothing is set wrong.
    """

    name: str
    verdict: Verdict
    found: str
    mends: tuple[Mend, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    unreachable: bool = False

    @property
    def section(self) -> str:
        """What the check looks at."""
        return self.name.partition(".")[0]

    @property
    def label(self) -> str:
        """Name within its section."""
        return self.name.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it must be; a finding may gather several."""

    verdict: Verdict
    found: str
    mend: Mend | None = None
    unreachable: bool = False


def gathered(
    name: str, found: str, problems: Iterable[Problem], values: Mapping[str, Any] | None = None
) -> Finding:
    """One finding of several problems; of none, all is well.

    Parameters
    ----------
    name : str
    found : str
        What is said where there are no problems.
    problems : iterable of Problem
    values : mapping of str to Any, optional
    """
    listed = list(problems)
    failures = [one for one in listed if one.verdict is Verdict.FAIL]
    return Finding(
        name,
        max((one.verdict for one in listed), key=lambda one: one.severity, default=Verdict.OK),
        "; ".join(one.found for one in listed) or found,
        tuple(dict.fromkeys(one.mend for one in listed if one.mend is not None)),
        values or {},
        unreachable=bool(failures) and all(one.unreachable for one in failures),
    )
