"""The end of a test run: how many tests ran on which servers.

A test says so by `record_property(RAN_ON, names)`, so that it is in the JUnit file too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.support.services import Services

RAN_ON = "services"
SERVERS = pytest.StashKey[Services]()
_OUTCOMES = ("passed", "failed", "error")


def report(stats: Mapping[str, Iterable[Any]], services: Services | None) -> list[str]:
    """Lines for a person; none if no test used a server.

    Parameters
    ----------
    stats : mapping of str to reports
        pytest's, by outcome; skipped tests ran on nothing.
    services : Services, optional
        Those of the session.
    """
    tests = {
        test.nodeid: tuple(sorted({text for name, text in test.user_properties if name == RAN_ON}))
        for outcome in _OUTCOMES
        for test in stats.get(outcome, ())
        if hasattr(test, "user_properties")  # a module that could not be collected has none
    }
    counts = Counter(names for names in tests.values() if names)
    lines = [
        f"services: {count} {'test' if count == 1 else 'tests'} on {', and on '.join(names)}"
        for names, count in counts.most_common()
    ]
    if services is not None:
        lines += [f"services: not on {why}" for why in services.refused]
    return lines
