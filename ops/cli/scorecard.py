"""`everscore scorecard ls|show|diff|promote|rollback|report`: the history of scorecards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ops.cli.fit import current_or_none, say_published, say_settings_that_differ
from ops.cli.learning_view import fit_lines, learning_document, shadow_line
from ops.cli.reading import FormatName, Mapping, Quiet, Source, progress
from ops.cli.scorecard_view import (
    history_table,
    moves_line,
    moves_table,
    origin_lines,
    parameters_table,
    report_lines,
    segments_table,
)
from ops.cli.support import command, open_store, out, print_json, read_settings
from ops.scorecards import (
    CANDIDATE,
    Comparison,
    Entry,
    adopted_by,
    as_wanted,
    find_scorecard,
    history_of_scorecards,
    learning_of,
    put_in_use,
    restoring,
    scorecard_in_use,
)
from schemas.errors import ConfigurationError
from schemas.learning import Learning
from schemas.scorecard import Scorecard
from scoring.business_calendar import BusinessCalendar
from state.store import Store
from streams.overrides import read_overrides
from streams.settings import Settings

scorecard = typer.Typer(
    help="Scorecards: what customers are scored by, and were.", no_args_is_help=True
)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Name = Annotated[
    str,
    typer.Argument(
        metavar="VERSION",
        help="Such as fitted-3, or 3; current, or candidate (the learner's); or a file of `fit --out`.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not look and ask first.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for the workers.")]


@scorecard.command()
@command
async def ls(as_json: AsJson = False) -> None:
    """List all scorecards, the newest last: when in use, learnt from what, how good."""
    async with open_store(read_settings()) as store:
        entries = await history_of_scorecards(store)
        learning = await learning_of(store)
    if as_json:
        print_json([_document(entry, learning) for entry in entries])
        return
    out.print(history_table(entries))
    if not entries:
        out.print("[dim]none yet: the first worker brings the bootstrap scorecard[/]")
    if learning is not None:
        out.print()
        for line in fit_lines(learning):
            out.print(line, highlight=False, soft_wrap=True)
        if learning.shadow is not None:
            out.print(shadow_line(learning, learning.shadow), highlight=False, soft_wrap=True)
            out.print(
                "[dim]everscore scorecard diff current candidate, then: scorecard promote candidate[/]"
            )


def _document(entry: Entry, learning: Learning | None) -> dict[str, object]:
    card = entry.card
    of_it = learning is not None and learning.version == card.version
    return {
        "learning": learning_document(learning) if of_it and learning is not None else None,
        "version": card.version,
        "number": card.number,
        "in_use": entry.in_use,
        "adopted_at": entry.adopted_at,
        "partitions": entry.partitions,
        "restores": card.restores,
        "segments": list(card.segments),
        "training": card.training.model_dump(mode="json"),
    }


@scorecard.command()
@command
async def show(version: Name, as_json: AsJson = False) -> None:
    """Show one scorecard's numbers."""
    async with open_store(read_settings()) as store:
        card = await find_scorecard(store, version)
        learning = await learning_of(store)
    if as_json:
        print_json(card.model_dump(mode="json"))
        return
    out.print(f"[bold]{_called(version, card)}[/]")
    lines = origin_lines(card)
    if learning is not None and version == CANDIDATE and learning.shadow is not None:
        lines.append(f"It is {shadow_line(learning, learning.shadow)}.")
    elif learning is not None and card.version == learning.version:
        lines += fit_lines(learning)
    for line in lines:
        out.print(f"  {escape(line)}", highlight=False)
    out.print()
    out.print(parameters_table(card))
    out.print()
    out.print(segments_table(card))


@scorecard.command()
@command
async def report(
    version: Name,
    count: Annotated[
        bool, typer.Option("--count/--no-count", help="Say how many customers each segment has.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Say in plain words what a scorecard holds, where it comes from and how good it is."""
    settings = read_settings()
    async with open_store(settings) as store:
        card = await find_scorecard(store, version)
        entries = await history_of_scorecards(store)
        sizes = None
        if count and entries:
            counted = await _compare(
                store, settings, card, card, Source(None, None, ""), quiet=quiet
            )
            sizes = counted.matrix.sum(axis=0).tolist()
    entry = next((one for one in entries if one.card == card), None)
    for line in report_lines(card, entry, sizes):
        out.print(line, highlight=False, markup=False, soft_wrap=True)


@scorecard.command()
@command
async def diff(
    one: Annotated[
        str, typer.Argument(metavar="A", help="Version, number, current, candidate, or a file.")
    ],
    other: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    customers: Annotated[
        Path | None, typer.Option("--on", help="Purchases to compare on; else the live state.")
    ] = None,
    format_name: FormatName = None,
    mapping: Mapping = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Count how many customers would change segment from A to B, from where to where."""
    settings = read_settings()
    source = Source(customers, format_name, mapping)
    async with open_store(settings) as store:
        before, after = await find_scorecard(store, one), await find_scorecard(store, other)
        learning = await learning_of(store)
        names = (_called(one, before), _called(other, after))
        found = await _compare(
            store, settings, before, after, source, names=names, quiet=quiet or as_json
        )
    if as_json:
        print_json(
            {
                "from": found.names[0],
                "to": found.names[1],
                "customers": found.customers,
                "changed": found.changed,
                "moves": {
                    name: dict(zip(found.other.segments, row, strict=True))
                    for name, row in zip(found.one.segments, found.matrix.tolist(), strict=True)
                },
            }
        )
        return
    out.print(parameters_table(after, before, names))
    out.print()
    out.print(moves_table(found))
    out.print(f"\n{moves_line(found)}", highlight=False)
    if CANDIDATE in (one, other) and learning is not None and learning.shadow is not None:
        out.print(shadow_line(learning, learning.shadow), highlight=False, soft_wrap=True)


def _called(name: str, card: Scorecard) -> str:
    """A version, or the name of a file: what is not published has no version of its own."""
    if name == CANDIDATE:
        return name
    return Path(name).name if name.endswith(".json") else card.version


async def _compare(
    store: Store,
    settings: Settings,
    one: Scorecard,
    other: Scorecard,
    source: Source,
    *,
    names: tuple[str, str] | None = None,
    quiet: bool,
) -> Comparison:
    comparison = Comparison(one, other, BusinessCalendar(settings.timezone), names)
    with progress(quiet=quiet) as bar:
        async for page in source.pages(None if source.is_file else store, settings, bar):
            comparison.add(page)
    return comparison


@scorecard.command()
@command
async def promote(
    version: Annotated[
        str,
        typer.Argument(
            metavar="FILE|VERSION", help="A file of `fit --out`, a version, or candidate."
        ),
    ],
    yes: Yes = False,
    wait: Wait = 5.0,
) -> None:
    """Put a candidate, or a scorecard of the history, into use; under the next number."""
    settings = read_settings()
    async with open_store(settings) as store:
        card = await find_scorecard(store, version)
        known = [entry.card for entry in await history_of_scorecards(store)]
        name = _called(version, card)
        card = as_wanted(card, read_overrides(settings.overrides), known=card in known)
        await _put_in_use(store, settings, card, name, yes=yes, wait=wait)


@scorecard.command()
@command
async def rollback(version: Name, yes: Yes = False, wait: Wait = 5.0) -> None:
    """Go back to a former scorecard: its numbers, published anew, and everyone's former segment."""
    settings = read_settings()
    async with open_store(settings) as store:
        entries = await history_of_scorecards(store)
        card = await find_scorecard(store, version)
        if card not in [entry.card for entry in entries]:
            raise ConfigurationError(
                f"{version} is not in the history.",
                hint="`everscore scorecard ls` lists it; to put a file into use: promote.",
            )
        in_use = await scorecard_in_use(store)
        if card == in_use:
            raise ConfigurationError(
                f"{card.version} is in use.", hint="`everscore scorecard ls` lists the former ones."
            )
        if in_use.restores == card.version:
            raise ConfigurationError(
                f"{in_use.version}, which is in use, restores {card.version} already.",
                hint="There is nothing to go back to.",
            )
        await _put_in_use(store, settings, restoring(card), card.version, yes=yes, wait=wait)


async def _put_in_use(
    store: Store, settings: Settings, card: Scorecard, name: str, *, yes: bool, wait: float
) -> None:
    before = await current_or_none(store)
    if not yes and before is not None:
        names = (before.version, name)
        found = await _compare(
            store, settings, before, card, Source(None, None, ""), names=names, quiet=False
        )
        out.print(moves_table(found))
        out.print(f"\n{moves_line(found)}", highlight=False)
        typer.confirm(f"Put {name} into use?", abort=True)
    published = await put_in_use(store, settings, card)
    done, partitions = await adopted_by(store, published.version, wait)
    say_published(published, before or published, settings)
    if done < partitions:
        out.print(
            f"  {done} of {partitions} partitions have adopted it so far; the others do when a worker "
            "comes to it",
            highlight=False,
        )
    say_settings_that_differ(published, settings)
