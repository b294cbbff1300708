"""`everscore dlq ls|show|requeue`: records that could not be counted, why, and putting them back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from ops.change_feed import open_consumer, records_to_end
from ops.cli.support import Exit, command, err, fail, out, print_json, read_settings
from ops.producing import PacedProducer
from schemas.dead_letter import DeadLetter, original_headers
from schemas.transaction import parse_transaction
from streams.settings import Settings

dlq = typer.Typer(help="Dead letters: what could not be counted.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document a line.")]
Position = Annotated[
    str, typer.Argument(metavar="PARTITION:OFFSET", help="Where `dlq ls` says it is.")
]
_PREVIEW_BYTES = 4_000


async def dead_letters(settings: Settings) -> list[tuple[Any, DeadLetter]]:
    """All dead letters Kafka holds, with their records."""
    found = []
    async with open_consumer(settings, settings.dead_letter_topic) as (consumer, partitions):
        async for record in records_to_end(consumer, partitions):
            try:
                found.append((record, DeadLetter.from_headers(record.headers)))
            except ValidationError:
                err.print(
                    f"[yellow]{record.partition}:{record.offset} is no dead letter of ours[/]"
                )
    return found


@dlq.command()
@command
async def ls(
    limit: Annotated[int, typer.Option(min=1, help="Show the newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters with their reasons, the newest last."""
    found = await dead_letters(read_settings())
    found.sort(key=lambda pair: pair[0].timestamp)
    if as_json:
        for record, letter in found[-limit:]:
            print_json({"at": f"{record.partition}:{record.offset}"} | letter.model_dump())
        return
    table = Table("at", "error", "reason", "from", box=None, pad_edge=False)
    for record, letter in found[-limit:]:
        table.add_row(
            f"{record.partition}:{record.offset}",
            letter.error_class,
            escape(letter.message),
            f"{letter.topic} {letter.partition}:{letter.offset}",
        )
    out.print(table)
    counts = Counter(letter.error_class for _, letter in found)
    summary = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    out.print(f"[dim]{len(found)} dead letters{': ' + summary if summary else ''}[/]")


async def _one(settings: Settings, position: str) -> tuple[Any, DeadLetter]:
    by_position = {
        f"{record.partition}:{record.offset}": (record, letter)
        for record, letter in await dead_letters(settings)
    }
    if position not in by_position:
        fail(f"there is no dead letter at {position!r}; `everscore dlq ls` lists them", Exit.USAGE)
    return by_position[position]


@dlq.command()
@command
async def show(
    position: Position,
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the record's bytes, all of them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: reason, key, headers and bytes."""
    record, letter = await _one(read_settings(), position)
    value = record.value or b""
    if raw:
        typer.get_binary_stream("stdout").write(value)
        return
    if as_json:
        print_json(letter.model_dump() | {"key": record.key, "value": value[:_PREVIEW_BYTES]})
        return
    out.print(f"[bold]{letter.error_class}[/]: {escape(letter.message)}", highlight=False)
    out.print(
        f"from {letter.topic} {letter.partition}:{letter.offset}, key {record.key!r}",
        highlight=False,
        markup=False,
    )
    for name, header in original_headers(record.headers):
        out.print(f"header {name!r}: {header!r}", highlight=False, markup=False)
    out.print(repr(value[:_PREVIEW_BYTES]), highlight=False, markup=False)
    if len(value) > _PREVIEW_BYTES:
        out.print(f"[dim]… {len(value):,} bytes in all; --raw prints them[/]")


@dlq.command()
@command
async def requeue(
    position: Position,
    value: Annotated[
        Path | None, typer.Option(help="A file with the mended record; else its own bytes.")
    ] = None,
) -> None:
    """Publish a dead letter again, mended or as it was; its transaction id counts once."""
    settings = read_settings()
    record, _ = await _one(settings, position)
    body = value.read_bytes().strip() if value is not None else record.value or b""
    transaction = parse_transaction(body)
    async with PacedProducer(settings) as producer:
        await producer.send(body, transaction.customer_id, original_headers(record.headers))
        await producer.flush()
    out.print(
        f"requeued transaction {transaction.transaction_id!r} of customer "
        f"{transaction.customer_id!r} to {settings.transactions_topic}",
        markup=False,
    )
