"""Settings that only the API has, `EVERSCORE_API_*`; `everscore doctor` prints them with the others."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65_535)]
STDOUT = Path("-")
PROCESSES_MAX = 64


class ApiSettings(BaseSettings):
    """Configuration of `everscore serve` and `everscore key`, beside `Settings`."""

    model_config = SettingsConfigDict(env_prefix="EVERSCORE_API_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: Port = Field(8080, description="Port to listen on; 0 for a free one.")
    processes: int = Field(
        1,
        ge=1,
        le=PROCESSES_MAX,
        description="Processes that answer on the port; each remembers changes and counts for itself.",
    )
    keys: Path = Field(
        Path("~/.config/everscore/api-keys.json"),
        description="File of the API keys, hashed, and of the secret behind pseudonyms.",
    )
    keys_later: bool = Field(
        False, description="Begin without a key, and let nobody in until there is one."
    )
    policy: Path | None = Field(
        None, description="YAML of what each role may do and see; else the one that comes with it."
    )
    audit: Path = Field(
        STDOUT, description="File that says who looked whom up, a JSON line each; - for stdout."
    )
    authentication: bool = Field(
        True, description="Ask for a key; 0 only where nobody else can connect (127.0.0.1)."
    )
    legacy_status: bool = Field(
        False, description="/predict and /segment refuse with HTTP status 503 instead of 422."
    )
    changes_max: PositiveInt = Field(
        250_000,
        description="Changes remembered for history, flows and resumed streams; 1.1 kB each.",
    )
    census_seconds: PositiveFloat = Field(
        30.0, description="That a count of all customers takes, for segments and their lists."
    )
    census_customers_max: PositiveInt = Field(
        2_000_000, description="Customers beyond which segments are not listed, only counted."
    )

    @field_validator("keys", "policy", "audit")
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser()

    @model_validator(mode="after")
    def _open_only_to_oneself(self) -> Self:
        if not self.authentication and not is_loopback(self.host):
            raise ValueError(
                f"EVERSCORE_API_AUTHENTICATION is off, but EVERSCORE_API_HOST is {self.host}: "
                "everybody could read every customer; listen on 127.0.0.1, or leave it on"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own.

    >>> is_loopback("::1"), is_loopback("localhost"), is_loopback("localhost.example")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
