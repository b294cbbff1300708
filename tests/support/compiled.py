"""Tests of what is compiled: skipped where it was not, unless it has to be (`REQUIRE_COMPILED=1`)."""

from __future__ import annotations

import os

import pytest

from ops.doctor.software import not_compiled

REQUIRE_COMPILED = "REQUIRE_COMPILED"


def needs_compiled() -> None:
    """Skip or fail the module that calls this, where something is not compiled."""
    missing = ", ".join(not_compiled())
    if missing and os.environ.get(REQUIRE_COMPILED) == "1":
        pytest.fail(f"{REQUIRE_COMPILED}=1, but there is no {missing}")
    if missing:
        pytest.skip(f"not compiled: {missing}", allow_module_level=True)
