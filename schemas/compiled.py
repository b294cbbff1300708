"""Modules that are compiled when Everscore is installed, if a C compiler is at hand."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def compiled(name: str) -> Any:
    """Return a compiled module; None where it was not built, and Python has to do."""
    try:
        return import_module(name)
    except ImportError:
        return None
