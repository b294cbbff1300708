"""`everscore tail`: change events as they come."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.change_feed import change_of, open_consumer, records_to_end
from ops.cli.support import command, out, print_json, read_settings

_READ_MS = 500


@command
async def tail(
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest change Kafka holds.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Wait for more.")] = True,
    segment: Annotated[str | None, typer.Option(help="Only changes into this segment.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only changes with this cause.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """Print change events: who moved from where to where, when and why."""
    settings = read_settings()
    async with open_consumer(settings, settings.changes_topic) as (consumer, partitions):
        if from_start:
            async for record in records_to_end(consumer, partitions):
                _show(record, segment, cause, as_json)
        else:
            await consumer.seek_to_end(*partitions)
        while follow:
            batches = await consumer.getmany(timeout_ms=_READ_MS)
            for records in batches.values():
                for record in records:
                    _show(record, segment, cause, as_json)


def _show(record: object, segment: str | None, cause: str | None, as_json: bool) -> None:
    change = change_of(record)
    if segment is not None and change["current"] != segment:
        return
    if cause is not None and change["cause"] != cause:
        return
    if as_json:
        print_json(change)
        return
    out.print(
        f"{change['occurred_at'][:19].replace('T', ' ')}  {change['customer_id']:<12} "
        f"{change['kind']:<9} {change['previous'] or '—'} → {change['current']}  "
        f"{change['cause']}, P(alive) {change['prob_alive']:.2f}",
        highlight=False,
        soft_wrap=True,
    )
