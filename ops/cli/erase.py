"""`everscore erase ID`: forget a customer, and say what was done."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from ops.cli.customers import AsJson, CustomerId, when
from ops.cli.support import command, open_store, out, print_json, read_settings
from ops.erasing import Receipt, erase_customer
from streams.settings import Settings


@command
async def erase(
    customer_id: CustomerId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the worker.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Forget a customer for good: state, ledger, due time, sample, dead letters; print a receipt."""
    settings = read_settings()
    if not yes:
        typer.confirm(f"Forget everything about customer {customer_id!r}, for good?", abort=True)
    async with open_store(settings) as store:
        receipt = await erase_customer(store, settings, customer_id, wait)
    if as_json:
        print_json(asdict(receipt))
        return
    _show(receipt, settings)


def _show(receipt: Receipt, settings: Settings) -> None:
    until = when(receipt.erased_until)
    known = "gone from Redis" if receipt.was_known else "there was none"
    letters = f"{receipt.letters_deleted} deleted from {settings.dead_letter_topic}"
    if receipt.letters_rewritten:
        letters += f", {receipt.letters_rewritten} of others written there anew"
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, said in (
        ("erased", f"{receipt.customer_id}: nothing until {until} UTC ever counts again"),
        (
            "in the log",
            f"{receipt.record}: whoever reads it again forgets the customer there again",
        ),
        ("state, ledger, due time", known),
        ("outbox", "published and trimmed"),
        ("changes", f"{receipt.changes} were told in all, the last: no segment, no lifecycle"),
        ("sample", f"taken back in {settings.samples_topic}"),
        ("dead letters", letters),
        (
            "kept",
            f"a tombstone, {receipt.tombstone}: a hash of the id, when, and the number of changes",
        ),
        (
            "not ours to delete",
            f"what {settings.transactions_topic} and {settings.changes_topic} hold of before, until "
            "Kafka's retention takes it, and what their consumers have kept",
        ),
    ):
        table.add_row(name, said)
    out.print(table, highlight=False, soft_wrap=False)
