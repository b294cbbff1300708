"""`everscore replay FORMAT [FILE…]`: publish a file of purchases as transactions, in time order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ops.cli.support import command, err, open_store, out, print_json, read_settings
from ops.loaders.formats import FORMATS, load
from ops.loaders.mapped_csv import parse_mapping
from ops.loaders.source import LoadOptions, LoadReport
from ops.lookup import partition_count
from ops.producing import PacedProducer, progress_of
from schemas.errors import PipelineError
from state.store import Store
from streams.settings import Settings

_FORMATS_HELP = "; ".join(f"{name}: {kind.description}" for name, kind in FORMATS.items())


@command
async def replay(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help=_FORMATS_HELP)],
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...")] = None,
    timezone: Annotated[str | None, typer.Option(help="Zone of times without an offset.")] = None,
    missing_customer: Annotated[
        str, typer.Option(help="Rows without a customer: skip or dead-letter.")
    ] = "skip",
    mapping: Annotated[
        str, typer.Option("--map", help="csv: customer_id=COLUMN,occurred_at=COLUMN,amount=COLUMN…")
    ] = "",
    date_format: Annotated[str | None, typer.Option(help="csv: strptime format of times.")] = None,
    decimal_comma: Annotated[bool, typer.Option(help="csv: amounts like 1.234,56.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    pace: Annotated[bool, typer.Option(help="Publish no faster than the workers count.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="The report as one JSON document.")
    ] = False,
) -> None:
    """Publish a file of purchases as transactions; says what became of every row."""
    settings = read_settings()
    report = LoadReport()
    options = LoadOptions(
        timezone=timezone,
        missing_customer=missing_customer,  # type: ignore[arg-type]  # checked by the loader
        columns=parse_mapping(mapping) if mapping else {},
        date_format=date_format,
        decimal_comma=decimal_comma,
    )
    records = load(format_name, files or [], options, report)
    total = min(report.records, limit or report.records)
    bar = Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=as_json,
    )
    async with open_store(settings) as store:
        unread = await _unread_by_workers(store, settings) if pace else None
        async with PacedProducer(settings, unread) as producer:
            with bar:
                task = bar.add_task(f"{format_name} → {settings.transactions_topic}", total=total)
                for _, record in zip(range(total), records, strict=False):
                    await producer.send(record.payload(None), record.customer_id)
                    bar.update(task, completed=producer.published)
                await producer.flush()
    if as_json:
        print_json(_summary(report) | {"published": producer.published})
        return
    out.print(f"published {producer.published:,} transactions to {settings.transactions_topic}")
    for name, value in _summary(report).items():
        out.print(f"  {name}: {value}", highlight=False)


async def _unread_by_workers(
    store: Store, settings: Settings
) -> Callable[[int], Awaitable[int]] | None:
    """How many of those published here the workers have not counted; None if nobody can tell."""
    try:
        partitions = await partition_count(store)
    except PipelineError as error:
        err.print(f"[dim]not paced by the workers:[/] {escape(str(error))}", highlight=False)
        return None
    before = (await progress_of(store, settings, partitions)).read

    async def unread(published: int) -> int:
        return published - ((await progress_of(store, settings, partitions)).read - before)

    return unread


def _summary(report: LoadReport) -> dict[str, object]:
    summary: dict[str, object] = {
        "rows_read": report.rows_read,
        "rows_used": report.rows_used,
        "rows_skipped": dict(report.skipped),
        "purchases": report.purchases,
        "refunds": report.refunds,
        "expected_dead_letters": report.expected_dead_letters,
    }
    if report.examples:
        summary["examples"] = list(report.examples)
    return summary
