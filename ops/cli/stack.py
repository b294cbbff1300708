"""`everscore stack up|down|status|logs`: a real Apache Kafka and Redis on this machine."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from ops.cli.support import Exit, command, err, out, print_json, read_names
from ops.stack.java import cached_jars, find_java, kafka_jars, kafka_version
from ops.stack.local import SECURITY, LocalStack
from ops.stack.logs import follow, last_lines
from ops.stack.mark import StackMark
from ops.stack.settings import StackSettings
from ops.stack.topics import TopicReport, declared_topics
from schemas.errors import ConfigurationError
from streams.access_settings import AccessSettings
from streams.settings import Settings

if TYPE_CHECKING:
    from ops.security.profile import Profile

stack = typer.Typer(
    help="A real Apache Kafka and Redis on this machine; needs Java 17, and Maven once.",
    no_args_is_help=True,
)
Folder = Annotated[
    Path | None,
    typer.Option(help="Data and logs. [EVERSCORE_STACK_FOLDER; ~/.cache/everscore/stack]"),
]
_LINES_MAX = 100_000


class Server(StrEnum):
    """Whose log."""

    KAFKA = "kafka"
    REDIS = "redis"


def read_stack_settings(**overrides: Any) -> StackSettings:
    """Settings of the local stack from the environment, with what the command line says instead."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return StackSettings(**given)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        name = "EVERSCORE_STACK_" + str(detail["loc"][0]).upper()
        raise ConfigurationError(
            f"{name}: {detail['msg']} (found {detail.get('input')!r})"
        ) from None


def _stack(
    settings: StackSettings, *, secure: bool | None = None, names: Iterable[str] = ()
) -> LocalStack:
    """The stack of a folder, behind locks or open; as last time if neither is said."""
    folder = settings.folder.expanduser().absolute()
    behind_locks = StackMark(folder).secure if secure is None else secure
    installation = read_names()
    return LocalStack(
        folder,
        topics=declared_topics(installation, settings.partitions),
        kafka_port=settings.kafka_port,
        redis_port=settings.redis_port,
        machine=settings,
        secure=_profile(folder / SECURITY, installation, names) if behind_locks else None,
    )


def _profile(folder: Path, installation: Settings, names: Iterable[str]) -> Profile:
    try:
        from ops.security.profile import Profile  # noqa: PLC0415 - not everybody has what it needs
    except ImportError as error:
        raise ConfigurationError(
            f"A secure stack needs a package that is not installed: {error.name}.",
            hint="pip install 'everscore[security]'",
        ) from None
    return Profile(folder, installation, names)


@stack.command()
@command
def up(
    folder: Folder = None,
    kafka_port: Annotated[int | None, typer.Option(help="Kafka's port. [9092 if free]")] = None,
    redis_port: Annotated[int | None, typer.Option(help="Redis's port. [6379 if free]")] = None,
    partitions: Annotated[
        int | None, typer.Option(help="Partitions of transactions and changes. [4]")
    ] = None,
    secure: Annotated[
        bool | None,
        typer.Option(
            "--secure/--open",
            help="With TLS, users, passwords and ACLs, or for anybody on this machine. "
            "[as last time; open]",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="One more host name for the certificates of a secure stack."),
    ] = None,
) -> None:
    """Start both, create the topics, and print where they are: eval "$(everscore stack up)"."""
    settings = read_stack_settings(
        folder=folder, kafka_port=kafka_port, redis_port=redis_port, partitions=partitions
    )
    servers = _stack(settings, secure=secure, names=name or ())
    was_up = all(server.running for server in servers.status())
    fetch_kafka(settings)
    began = time.monotonic()
    report = servers.start()
    took = time.monotonic() - began
    kafka, redis = servers.status()
    names = f"Kafka {kafka.version} and Redis {redis.version}"
    if was_up:
        _tell(f"{names} are up already, since {min(kafka.since or '', redis.since or '')}")
    else:
        _tell(f"{names} are up after {took:.1f} s; data and logs are in {servers.folder}")
    _tell_topics(report)
    if servers.secure is None:
        _export({"EVERSCORE_KAFKA": servers.kafka, "EVERSCORE_REDIS": servers.redis})
        return
    _tell(
        f"secure: certificates and passwords are in {servers.secure.folder}; what follows is for "
        f"the worker, `everscore stack access USER` for others"
    )
    if was_up and name:
        _tell("certificates of other names are used from the next start on")
    _export(_access(servers, "worker"))


@stack.command()
@command
def access(
    user: Annotated[
        str, typer.Argument(help="admin, worker, producer, reader, support or auditor.")
    ],
    certificate: Annotated[
        bool, typer.Option("--certificate", help="By certificate (mTLS) instead of password.")
    ] = False,
    folder: Folder = None,
) -> None:
    """Print how a user of a secure stack comes in: eval "$(everscore stack access support)"."""
    servers = _stack(read_stack_settings(folder=folder))
    _export(_access(servers, user, certificate=certificate))


def _access(servers: LocalStack, user: str, *, certificate: bool = False) -> dict[str, str]:
    if servers.secure is None:
        raise ConfigurationError(
            f"The local stack in {servers.folder} lets in anybody.",
            hint="Stop it and start it again: everscore stack down, everscore stack up --secure.",
        )
    from ops.security.access import access_variables  # noqa: PLC0415 - see `_profile`

    return access_variables(
        servers.secure,
        user,
        kafka=servers.kafka,
        kafka_mtls=servers.kafka_mtls,
        redis=servers.redis,
        certificate=certificate,
    )


def _export(variables: Mapping[str, str]) -> None:
    """Lines for the shell, which forget what it was told of other servers."""
    ours = {f"EVERSCORE_{name.upper()}" for name in AccessSettings.model_fields}
    if stale := sorted((ours - variables.keys()) & os.environ.keys()):
        sys.stdout.write(f"unset {' '.join(stale)}\n")
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def fetch_kafka(settings: StackSettings) -> None:
    """Fetch Kafka's jars unless they are there, and say so: it takes a while."""
    find_java(settings.java_home)  # before a minute of fetching for nothing
    if cached_jars(settings.cache) is not None:
        return
    _tell(f"fetching Kafka {kafka_version()} from Maven Central, this once …")
    began = time.monotonic()
    jars = kafka_jars(settings.cache)
    _tell(f"fetched into {jars} in {time.monotonic() - began:.1f} s")


def _tell(what: str) -> None:
    """Say something to a person; stdout is for the shell."""
    err.print(escape(what), highlight=False, soft_wrap=True)


def _tell_topics(report: TopicReport) -> None:
    if report.created:
        _tell(f"created {', '.join(report.created)}")
    for line in report.differing:
        err.print(f"[yellow]differs:[/] {escape(line)}", highlight=False, soft_wrap=True)
    if report.differing:
        _tell(
            "existing topics stay as they are; after `down --wipe`, `up` makes them anew and empty"
        )


@stack.command()
@command
def down(
    folder: Folder = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove data and logs too.")] = False,
) -> None:
    """Stop both; their data stays for the next time."""
    servers = _stack(read_stack_settings(folder=folder))
    running = [server.name for server in servers.status() if server.running]
    began = time.monotonic()
    killed = servers.stop(wipe=wipe)
    if running:
        _tell(f"stopped {' and '.join(running)} in {time.monotonic() - began:.1f} s")
    else:
        _tell(f"nothing runs in {servers.folder}")
    if killed:
        _tell(f"{' and '.join(killed)} did not end when asked and had to be killed")
    if wipe:
        _tell(f"removed data and logs from {servers.folder}")


@stack.command()
@command
def status(
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Say what runs, where, since when; exit code 69 unless both answer."""
    servers = _stack(read_stack_settings(folder=folder))
    found = servers.status()
    healthy = all(server.answers for server in found)
    if as_json:
        described = {server.name: asdict(server) for server in found}
        secure = servers.secure is not None
        print_json({"up": healthy, "secure": secure, "folder": servers.folder, **described})
    else:
        table = Table("server", "state", "address", "version", "since", "pid", box=None)
        for server in found:
            state = "up" if server.answers else "does not answer" if server.running else "down"
            colour = "green" if server.answers else "red"
            rest = (server.address, server.version, server.since, server.pid)
            cells = ("" if value is None else str(value) for value in rest)
            table.add_row(server.name, f"[{colour}]{state}[/]", *cells)
        out.print(table)
        locks = "" if servers.secure is None else ", with TLS, passwords and ACLs"
        out.print(f"[dim]{escape(str(servers.folder))}{locks}[/]", highlight=False, soft_wrap=True)
    if not healthy:
        raise typer.Exit(Exit.UNAVAILABLE)


@stack.command()
@command
def logs(
    server: Annotated[Server | None, typer.Argument(help="Whose; both by default.")] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=_LINES_MAX, help="The last so many.")
    ] = 50,
    follow_on: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is added.")
    ] = False,
    folder: Folder = None,
) -> None:
    """Show the end of the servers' logs."""
    every = _stack(read_stack_settings(folder=folder)).logs()
    shown = every if server is None else {server.value: every[server.value]}
    for name, path in shown.items():
        for line in last_lines(path, lines):
            _print_line(name, line, named=len(shown) > 1)
    if follow_on:
        for name, line in follow(shown):
            _print_line(name, line, named=len(shown) > 1)


def _print_line(name: str, line: str, *, named: bool) -> None:
    sys.stdout.write(f"{name} | {line}\n" if named else f"{line}\n")
    sys.stdout.flush()
