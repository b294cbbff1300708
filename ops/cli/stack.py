"""`everscore stack up|down|status|logs`: a real Apache Kafka and Redis on this machine."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from ops.cli.support import Exit, command, err, out, print_json, read_settings
from ops.stack.java import cached_jars, find_java, kafka_jars, kafka_version
from ops.stack.local import LocalStack
from ops.stack.logs import follow, last_lines
from ops.stack.settings import StackSettings
from ops.stack.topics import TopicReport, declared_topics
from schemas.errors import ConfigurationError

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


def _stack(settings: StackSettings) -> LocalStack:
    return LocalStack(
        settings.folder,
        topics=declared_topics(read_settings(), settings.partitions),
        kafka_port=settings.kafka_port,
        redis_port=settings.redis_port,
        machine=settings,
    )


@stack.command()
@command
def up(
    folder: Folder = None,
    kafka_port: Annotated[int | None, typer.Option(help="Kafka's port. [9092 if free]")] = None,
    redis_port: Annotated[int | None, typer.Option(help="Redis's port. [6379 if free]")] = None,
    partitions: Annotated[
        int | None, typer.Option(help="Partitions of transactions and changes. [4]")
    ] = None,
) -> None:
    """Start both, create the topics, and print where they are: eval "$(everscore stack up)"."""
    settings = read_stack_settings(
        folder=folder, kafka_port=kafka_port, redis_port=redis_port, partitions=partitions
    )
    servers = _stack(settings)
    was_up = all(server.running for server in servers.status())
    _fetch(settings)
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
    sys.stdout.write(
        f"export EVERSCORE_KAFKA={servers.kafka}\nexport EVERSCORE_REDIS={servers.redis}\n"
    )


def _fetch(settings: StackSettings) -> None:
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
        print_json({"up": healthy, "folder": servers.folder, **described})
    else:
        table = Table("server", "state", "address", "version", "since", "pid", box=None)
        for server in found:
            state = "up" if server.answers else "does not answer" if server.running else "down"
            colour = "green" if server.answers else "red"
            rest = (server.address, server.version, server.since, server.pid)
            cells = ("" if value is None else str(value) for value in rest)
            table.add_row(server.name, f"[{colour}]{state}[/]", *cells)
        out.print(table)
        out.print(f"[dim]{escape(str(servers.folder))}[/]", highlight=False, soft_wrap=True)
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
