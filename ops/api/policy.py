"""What each role may do and see: a YAML file, validated.

Owns the meaning of the file. Who has which role is `keys`' to say, what follows for an answer `view`'s.
"""

from __future__ import annotations

from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from schemas.errors import ConfigurationError, shown


class Role(StrEnum):
    """What a key is for."""

    READER = "reader"
    PII_READER = "pii-reader"
    OPERATOR = "operator"
    ADMIN = "admin"


class Right(StrEnum):
    """What may be asked for; every route but health needs one of them, or none but a key."""

    CUSTOMERS = "customers"
    HISTORY = "history"
    SEGMENTS = "segments"
    MEMBERS = "members"
    CHANGES = "changes"
    MODEL = "model"
    SERVICE = "service"
    METRICS = "metrics"


class Ids(StrEnum):
    """How customer ids are shown."""

    CLEAR = "clear"
    HMAC = "hmac"


class Dates(StrEnum):
    """How dates of a customer are shown."""

    EXACT = "exact"
    QUARTER = "quarter"


class Rights(BaseModel):
    """What one role may do and see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    may: frozenset[Right]
    ids: Ids
    dates: Dates
    requests_per_second: PositiveFloat
    burst: PositiveInt = Field(description="So many at once after a pause.")


class Policy(BaseModel):
    """What every role may do and see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: dict[Role, Rights]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [role.value for role in Role if role not in self.roles]
        if missing:
            raise ValueError(f"says nothing of {', '.join(missing)}")
        return self


def read_policy(path: Path | None = None) -> Policy:
    """The policy of a file, or the one that comes with the package.

    Raises
    ------
    ConfigurationError
        It cannot be read; names the file, the place in it and what was found there.
    """
    if path is None:
        name, text = "the policy of the package", (files("ops.api") / "policy.yaml").read_text()
    else:
        name = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read policy {path}: {error}.") from None
    try:
        return Policy.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ConfigurationError(f"policy {name} is not YAML: {said}.") from None
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"]) or "the file"
        said = detail["msg"].removeprefix("Value error, ")
        found = "" if detail["type"] == "value_error" else f" (found {shown(detail['input'])})"
        raise ConfigurationError(
            f"policy {name}: {place}: {said}{found}.", hint="See ops/api/policy.yaml."
        ) from None
