"""`everscore verify`: replay the log and compare all of Redis, and all that was told, with it."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ops.cli.support import Exit, command, err, open_store, out, print_json, read_settings
from ops.lookup import partition_count
from ops.verify.compare import Verdict, verify_partition
from ops.verify.log import open_log
from ops.verify.processes import verify_side_by_side
from streams.event_loops import use_fast_loops
from streams.settings import Settings

_SHOWN_MAX = 20


@command
def verify(
    partition: Annotated[
        list[int] | None, typer.Option(min=0, help="Only these; all by default.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="So many partitions side by side, in processes of their own.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Count everything again from offset 0 and compare; exit code 1 if anything differs."""
    settings = read_settings()
    use_fast_loops()
    verdicts = asyncio.run(_verify(settings, partition, jobs, quiet=as_json))
    differences = [line for verdict in verdicts for line in verdict.differences]
    records = sum(verdict.records for verdict in verdicts)
    customers = sum(verdict.customers for verdict in verdicts)
    changes = sum(verdict.changes for verdict in verdicts)
    gone = sum(verdict.changes_gone for verdict in verdicts)
    if as_json:
        print_json({"ok": not differences, "partitions": [asdict(verdict) for verdict in verdicts]})
    elif differences:
        for line in differences[:_SHOWN_MAX]:
            out.print(f"[red]differs[/] {escape(line)}", highlight=False, soft_wrap=True)
        if len(differences) > _SHOWN_MAX:
            out.print(f"… and {len(differences) - _SHOWN_MAX:,} more differences (--json has all)")
    else:
        out.print(
            f"every one of {records:,} records counted once: {customers:,} customers, their due "
            f"times, the counters and {changes:,} published changes are what the log leads to",
            highlight=False,
            soft_wrap=True,
        )
    if gone and not as_json:
        err.print(
            f"{gone:,} older changes are no longer in {settings.changes_topic}: of those only what "
            "is in Redis was compared",
            highlight=False,
            soft_wrap=True,
        )
    if differences:
        raise typer.Exit(Exit.FAILED)


async def _verify(
    settings: Settings, chosen: list[int] | None, jobs: int, *, quiet: bool
) -> list[Verdict]:
    bar = Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} records"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=quiet,
        transient=True,
    )
    verdicts = []
    # Looking for cycles among millions of columns' elements takes as long as all the rest.
    gc.disable()
    async with open_store(settings) as store, open_log(settings) as log:
        partitions = await partition_count(store)
        numbers = sorted(set(chosen)) if chosen else range(partitions)
        totals = {
            number: sum((await store.checkpoint(number)).next_offsets.values())
            for number in numbers
        }
        with bar:
            task = bar.add_task("replaying", total=sum(totals.values()))
            if jobs > 1:
                return await verify_side_by_side(
                    list(numbers), jobs, lambda records: bar.advance(task, records)
                )
            for number in numbers:
                bar.update(task, description=f"partition {number}")
                gc.collect()  # what the last partition left, and nothing else
                verdict = await verify_partition(
                    store,
                    log,
                    settings,
                    partitions,
                    number,
                    lambda records: bar.advance(task, records),
                )
                verdicts.append(verdict)
    return verdicts
