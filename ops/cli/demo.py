"""`everscore demo`: 69,659 real purchases become living segments, with nothing installed."""

from __future__ import annotations

import asyncio
import sys
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.markup import escape

from ops.change_feed import history_of
from ops.cli.customers import show_explanation
from ops.cli.stack import fetch_kafka, read_stack_settings
from ops.cli.support import Exit, command, open_store, out, read_settings, wall_us
from ops.customers import Customer
from ops.demo import (
    EXAMPLE_SEGMENT,
    Outcome,
    Tally,
    WorkerProcess,
    child_environment,
    conclude,
    follow_changes,
    load_purchases,
    replay,
    settle,
    worker_environment,
    working_folder,
)
from ops.demo_console import DemoConsole, console_is_installed, show
from ops.demo_servers import PARTITIONS, start_servers
from ops.demo_view import live_view, progress_line, summary
from ops.loaders.source import SourceTransaction
from ops.lookup import find_customer
from ops.stack.at_hand import StackKind, real_stacks_here
from ops.stack.topics import declared_topics, ensure_topics
from schemas.errors import ConfigurationError
from streams.connections import kafka_access
from streams.kafka_check import check_kafka
from streams.settings import Settings

_REFRESHES_PER_SECOND = 8
_REPORT_SECONDS = 5.0


@command
async def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running afterwards.")] = False,
    kafka: Annotated[str | None, typer.Option(help="A real broker, HOST:PORT.")] = None,
    redis: Annotated[str | None, typer.Option(help="A real Redis, as URL.")] = None,
    stack: Annotated[
        StackKind | None,
        typer.Option(help="Servers to start; local and docker are a real Kafka. [embedded]"),
    ] = None,
) -> None:
    """Replay CDNOW through Kafka, a worker and Redis, and show what becomes of 23,570 customers."""
    if (kafka is None) != (redis is None):
        raise ConfigurationError("--kafka and --redis go together.", hint="Give both or neither.")
    if kafka is not None and stack is not None:
        raise ConfigurationError(
            "--stack starts servers, --kafka and --redis name some that run.",
            hint="Give one or the other.",
        )
    with ExitStack() as until:
        if kafka is not None and redis is not None:
            settings = await _given_servers(kafka, redis)
        else:
            settings = _own_servers(until, stack)
        folder = Path(until.enter_context(working_folder()))
        purchases = load_purchases()
        worker = WorkerProcess(child_environment(settings), folder)
        until.callback(worker.stop)
        address = _open_console(until, settings, folder) if keep else None
        outcome, shown = await _watch(settings, worker, purchases)
        out.print(summary(outcome))
        if shown is not None:
            await _explain(settings, shown)
        _say_what_next(settings, outcome, stack, address, keep=keep)
        if keep:
            with suppress(asyncio.CancelledError):  # Ctrl-C is how it ends
                await asyncio.Event().wait()
    if outcome.parity.equal != outcome.parity.customers:
        raise typer.Exit(Exit.FAILED)


async def _given_servers(kafka: str, redis: str) -> Settings:
    """Servers that somebody else runs: topics, group and keys of our own, nothing else touched."""
    run = uuid.uuid4().hex[:8]
    names = {
        name: f"everscore-demo-{run}.{getattr(read_settings(), name)}"
        for name in Settings.model_fields
        if name.endswith("_topic")
    }
    settings = read_settings(
        kafka=kafka,
        redis=redis,
        group=f"everscore-demo-{run}",
        key_prefix=f"demo-{run}:",
        **names,
    )
    topics = declared_topics(settings, PARTITIONS)
    async with open_store(settings) as store:
        await store.check()
    await check_kafka(settings)
    await ensure_topics(settings.kafka, topics, kafka_access(settings))
    out.print(
        f"[dim]Kafka at {settings.kafka}, Redis at {settings.redis}, everything named demo-{run}[/]"
    )
    return settings


def _own_servers(until: ExitStack, wanted: StackKind | None) -> Settings:
    """Servers of the demo's own; unless one kind was wanted, those that need nothing."""
    machine = read_stack_settings()
    kind = wanted or StackKind.EMBEDDED
    if kind is StackKind.LOCAL:
        fetch_kafka(machine)
    if kind is not StackKind.EMBEDDED:
        out.print("[dim]Starting Kafka and Redis …[/]")
    servers = start_servers(kind, until, machine)
    out.print(f"[dim]{servers.described}[/]", highlight=False)
    others = real_stacks_here(machine) if wanted is None else {}
    if others:
        told = ", ".join(f"--stack {name} ({reason})" for name, reason in others.items())
        out.print(f"[dim]also here: {told}[/]", highlight=False)
    return servers.settings


def _open_console(until: ExitStack, settings: Settings, folder: Path) -> str | None:
    """The console while the replay runs; where it cannot be, the demo goes on without."""
    if not console_is_installed():
        out.print("[dim]No console: pip install 'everscore\\[serve]' brings it.[/]")
        return None
    try:
        console = DemoConsole(child_environment(settings), folder)
    except ConfigurationError as error:
        out.print(f"[yellow]{escape(str(error))}[/]")
        return None
    until.callback(console.stop)
    out.print(f"[bold]Console: {console.address}[/]  [dim]# see the segments grow[/]")
    show(console.address)
    return console.address


async def _watch(
    settings: Settings,
    worker: WorkerProcess,
    purchases: list[SourceTransaction],
) -> tuple[Outcome, Customer | None]:
    """What came of it, and the customer to explain as they were then."""
    tally = Tally(total=len(purchases))
    async with open_store(settings) as store:
        following = asyncio.gather(follow_changes(settings, tally), _report(tally))
        try:
            with Live(
                get_renderable=lambda: live_view(tally) if out.is_terminal else "",
                console=out,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
            ):
                seconds = await replay(store, settings, worker, purchases, tally)
            while True:  # a lesson that was under way may have scored everybody anew meanwhile
                await settle(store, settings, worker, tally)
                outcome = await conclude(store, settings, purchases, tally, seconds)
                if outcome.example is None:
                    return outcome, None
                shown = await find_customer(store, settings, outcome.example, wall_us())
                if shown.profile()["segment"] == EXAMPLE_SEGMENT:
                    return outcome, shown
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await asyncio.gather(following, return_exceptions=True)


async def _report(tally: Tally) -> None:
    """Progress as plain lines where there is no terminal to draw on."""
    while not out.is_terminal:
        await asyncio.sleep(_REPORT_SECONDS)
        out.print(progress_line(tally), highlight=False)


async def _explain(settings: Settings, customer: Customer) -> None:
    out.print(f"\n[bold]One of them[/] [dim](everscore explain {customer.customer_id})[/]")
    show_explanation(customer, await history_of(settings, customer.customer_id))


def _say_what_next(
    settings: Settings,
    outcome: Outcome,
    stack: StackKind | None,
    address: str | None,
    *,
    keep: bool,
) -> None:
    everscore = Path(sys.executable).parent / "everscore"
    shown = everscore.relative_to(Path.cwd()) if everscore.is_relative_to(Path.cwd()) else everscore
    out.print("\n[bold]What to try next[/]")
    if not keep:
        kind = "" if stack is None else f" STACK={stack}"
        out.print(
            f"  make demo{kind} KEEP=1       leaves it running, with the support console, for:"
        )
    else:
        exports = " ".join(f"{k}={v}" for k, v in worker_environment(settings).items())
        out.print(f"  export {exports}", highlight=False, soft_wrap=True)
    customer = outcome.example or "00042"
    for arguments, meaning in (
        (f"lookup {customer}", "one customer as of now"),
        (f"explain {customer}", "why, and what silence will bring"),
        ("tail --from-start --no-follow --cause silence", "who left by staying silent"),
        ("dlq ls", "what could not be counted"),
        ("doctor", "is everything as it must be"),
    ):
        out.print(f"  {shown} {arguments}  [dim]# {meaning}[/]", highlight=False, soft_wrap=True)
    if address is not None:
        out.print(f"  {address}  [dim]# the support console[/]", highlight=False, soft_wrap=True)
    if keep:
        out.print("\nRunning. Ctrl-C ends it.")
