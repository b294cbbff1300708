"""What of this machine the local stack uses, read once from `EVERSCORE_STACK_*` variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65_535)]

_CACHE = Path.home() / ".cache" / "everscore"


class StackSettings(BaseSettings):
    """Where the local stack keeps things, and on which ports it listens."""

    model_config = SettingsConfigDict(
        env_prefix="EVERSCORE_STACK_", frozen=True, extra="ignore", populate_by_name=True
    )

    folder: Path = Field(_CACHE / "stack", description="Data, logs and process files.")
    cache: Path = Field(_CACHE, description="Kafka's jars, in kafka-<version>.")
    kafka_port: Port | None = Field(
        None, description="Kafka's port; as last time, else 9092, else a free one."
    )
    redis_port: Port | None = Field(
        None, description="Redis's port; as last time, else 6379, else a free one."
    )
    partitions: PositiveInt = Field(4, description="Partitions of transactions and changes.")
    heap_mb: int = Field(512, ge=256, le=16_384, description="Kafka's Java heap, MB.")
    java_home: Path | None = Field(
        None,
        validation_alias=AliasChoices("EVERSCORE_STACK_JAVA_HOME", "JAVA_HOME"),
        description="The Java to run Kafka; else the one on PATH.",
    )
    docker_host: str | None = Field(
        None, validation_alias="DOCKER_HOST", description="Docker's engine; else the usual socket."
    )
