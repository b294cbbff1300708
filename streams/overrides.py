"""Reading the operator's overrides: a YAML file, `EVERSCORE_OVERRIDES`.

Owns what is wrong with a file. What it means is `schemas.overrides`', what becomes of it
`scoring.overriding`'s.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.errors import ConfigurationError, shown
from schemas.overrides import NO_OVERRIDES, Overrides
from schemas.scorecard import Scorecard
from scoring.bootstrap import bootstrap_scorecard
from scoring.overriding import overridden
from streams.settings import Settings

FILE_BYTES_MAX = 65_536
_HINT = "ops/overrides.example.yaml shows every key."


class _Loader(yaml.SafeLoader):
    """Refuses what YAML lets pass: a key given twice, of which the last would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key if isinstance(key, Hashable) else str(key))
        return super().construct_mapping(node, deep=deep)


def read_overrides(path: Path | None) -> Overrides:
    """What the file says; nothing is overridden without one.

    Raises
    ------
    ConfigurationError
        It cannot be read, or is not what it should be; names the key and the value.
    """
    if path is None:
        return NO_OVERRIDES
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(
            f"EVERSCORE_OVERRIDES: {path} cannot be read: {error.strerror}.",
            hint="Name a file that this user may read, or none.",
        ) from None
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigurationError(
            f"overrides {path}: more than {FILE_BYTES_MAX:,} bytes.", hint=_HINT
        )
    try:
        told = yaml.load(raw, _Loader)  # noqa: S506 - derives from SafeLoader
        return Overrides.model_validate({} if told is None else told)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"overrides {path}: no YAML: {' '.join(str(error).split())}.", hint=_HINT
        ) from None
    except ValidationError as error:
        raise ConfigurationError(f"overrides {path}: {_said(error)}.", hint=_HINT) from None


def first_scorecard(settings: Settings) -> Scorecard:
    """The bootstrap scorecard, as the settings and the overrides want it.

    Raises
    ------
    ConfigurationError
        As `read_overrides`; or the overrides do not go together with the settings.
    """
    card = bootstrap_scorecard(
        settings.family, hysteresis=settings.hysteresis, lifecycle=settings.lifecycle
    )
    return overridden(card, read_overrides(settings.overrides))


def _said(error: ValidationError) -> str:
    """The first thing that is wrong: key, value and why."""
    detail = error.errors(include_url=False)[0]
    place = [str(part) for part in detail["loc"] if part != "[key]"]
    key = ".".join(place) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{key} is no key (its value is {shown(detail['input'])})"
    reason = detail["msg"].removeprefix("Value error, ")
    if detail["loc"][-1:] == ("[key]",):
        return f"{key} {reason}"
    return f"{key}: {shown(detail['input'])}: {reason}"
