"""What all commands share: settings, clean endings, output for people and for machines."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from enum import IntEnum
from functools import wraps
from typing import Any, NoReturn, ParamSpec

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from rich.markup import escape

from schemas.errors import (
    ConfigurationError,
    DegenerateFitError,
    InvalidTransactionError,
    PipelineError,
    SourceFileError,
    UnknownCustomerError,
)
from state.redis_store import RedisStore
from streams.access_settings import SECRET_FIELDS, SECRETS_VARIABLE, STRANGER
from streams.connections import redis_store
from streams.settings import Settings

# Without a handler of its own, what the library says of each retry would come between our lines.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())
out = Console()
err = Console(stderr=True)


P = ParamSpec("P")


class Exit(IntEnum):
    """Exit codes; those above 60 are sysexits.h's."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNKNOWN_CUSTOMER = 3
    BAD_INPUT = 65
    UNAVAILABLE = 69
    SOFTWARE = 70
    CONFIG = 78


def wall_us() -> int:
    """The wall clock, microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def read_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with what the command line says instead."""
    return _read({name: value for name, value in overrides.items() if value is not None})


def read_names() -> Settings:
    """Settings from the environment, how servers are reached left aside: topics and keys matter."""
    return _read(STRANGER)


def _read(given: Mapping[str, Any]) -> Settings:
    try:
        with warnings.catch_warnings(
            action="error", category=UserWarning
        ):  # of secrets that lie elsewhere
            return Settings(**given)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        said = detail["msg"].removeprefix("Value error, ")
        # What concerns several settings at once names them, and was found in all of them.
        name, found = "", ""
        if detail["loc"]:
            field = str(detail["loc"][0])
            name = f"EVERSCORE_{field.upper()}: "
            if field not in SECRET_FIELDS and detail["type"] != "value_error":
                found = f" (found {detail.get('input')!r})"
        raise ConfigurationError(f"{name}{said}{found}.") from None
    except SettingsError as error:
        raise ConfigurationError(f"{SECRETS_VARIABLE}: {error}: {error.__cause__}") from None


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[RedisStore]:
    """A store that is closed again."""
    store = redis_store(settings)
    try:
        yield store
    finally:
        await store.close()


def fail(message: str, code: Exit) -> NoReturn:
    """One clear line on stderr, and an exit code that means something."""
    err.print(f"[bold red]error[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def code_of(error: PipelineError) -> Exit:
    """The exit code of an error."""
    if isinstance(error, UnknownCustomerError):
        return Exit.UNKNOWN_CUSTOMER
    if isinstance(error, InvalidTransactionError | SourceFileError | DegenerateFitError):
        return Exit.BAD_INPUT
    if isinstance(error, ConfigurationError):
        return Exit.CONFIG
    return Exit.UNAVAILABLE if error.retriable else Exit.SOFTWARE


def command(
    run: Callable[P, Coroutine[Any, Any, None] | None],
) -> Callable[P, None]:
    """Run a command, a coroutine or not, and end it cleanly whatever it meets."""

    @wraps(run)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            outcome = run(*args, **kwargs)
            if asyncio.iscoroutine(outcome):
                asyncio.run(outcome)
        except PipelineError as error:
            fail(str(error), code_of(error))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(Exit.OK) from None

    return wrapper


def print_json(value: Any) -> None:
    """One JSON document on one line, for machines."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
