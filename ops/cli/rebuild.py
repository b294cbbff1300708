"""`everscore rebuild`: write Redis anew as the log has it."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ops.cli.support import command, err, open_store, out, print_json, read_settings
from ops.rebuild.partition import PartitionRebuild, Rebuilt
from ops.rebuild.reservation import rebuilder_of, reserved
from ops.rebuild.scorecards import restore_scorecards
from ops.verify.log import LogReader, open_log
from schemas.errors import ConfigurationError
from state.redis_store import RedisStore
from streams.settings import Settings
from streams.worker import check_installation

# How long a rebuild that was cut short is remembered: whoever begins a day later means all of it.
_REMEMBERED_SECONDS = 86_400.0


@command
async def rebuild(
    partition: Annotated[
        list[int] | None, typer.Option(min=0, help="Only these; all by default.")
    ] = None,
    to_end: Annotated[
        bool,
        typer.Option(
            "--to-end",
            help="Up to the end of the log, whatever checkpoints say; as where there is none.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Write Redis anew as the log has it, partition by partition; workers may go on meanwhile."""
    settings = read_settings()
    began = time.monotonic()
    # Looking for cycles among millions of columns' elements takes as long as all the rest.
    gc.disable()
    async with open_store(settings) as store, open_log(settings) as log:
        done, before = await _rebuild(store, log, settings, partition, to_end=to_end, quiet=as_json)
    seconds = time.monotonic() - began
    if as_json:
        print_json({"partitions": [asdict(one) for one in done], "before": sorted(before)})
        return
    records = sum(one.records for one in done)
    customers, removed = sum(one.customers for one in done), sum(one.removed for one in done)
    told = sum(one.told for one in done)
    earlier = f" ({len(before)} more were rebuilt before)" if before else ""
    out.print(
        f"{len(done)} partitions rebuilt from {records:,} records in {seconds:.1f} s{earlier}: "
        f"{customers:,} customers written, {removed:,} removed, {told:,} messages told that never were",
        highlight=False,
        soft_wrap=True,
    )


async def _rebuild(
    store: RedisStore,
    log: LogReader,
    settings: Settings,
    chosen: Sequence[int] | None,
    *,
    to_end: bool,
    quiet: bool,
) -> tuple[list[Rebuilt], set[int]]:
    partitions = await log.partitions(settings.transactions_topic)
    await check_installation(store, settings, partitions)
    cards = await restore_scorecards(store, settings)
    wanted = set(chosen) if chosen else set(range(partitions))
    if max(wanted) >= partitions:
        raise ConfigurationError(
            f"there is no partition {max(wanted)}: {settings.transactions_topic} has {partitions}.",
            hint=f"Name some of 0 to {partitions - 1}.",
        )
    before = wanted & await store.rebuilt()
    through, owner = set(before), rebuilder_of(settings)
    bar = Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} records"),
        TimeElapsedColumn(),
        console=err,
        disable=quiet,
        transient=True,
    )
    done = []
    with bar:
        ends = [await log.bounds(topic, sorted(wanted)) for topic in settings.input_topics]
        total = sum(span[n][1] - span[n][0] for span in ends for n in wanted - before)
        task = bar.add_task("rebuilding", total=total)
        for number in sorted(wanted - before):
            bar.update(task, description=f"partition {number}")
            gc.collect()  # what the last partition left, and nothing else
            async with reserved(
                store,
                number,
                owner,
                lambda holder: bar.update(task, description=f"waiting for {holder}"),
            ):
                work = PartitionRebuild(store, log, settings, partitions, number, owner)
                done.append(
                    await work.run(cards, lambda records: bar.advance(task, records), to_end=to_end)
                )
            through.add(number)
            await store.note_rebuilt(through, _REMEMBERED_SECONDS)
    await store.note_rebuilt((), 0)
    return done, before
