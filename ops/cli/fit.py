"""`everscore fit [FILE]`: learn a candidate scorecard from all customers, and say what speaks for it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape
from rich.progress import Progress

from ops.cli.customers import when
from ops.cli.reading import FormatName, Mapping, Quiet, Source, progress
from ops.cli.scorecard_view import (
    CANDIDATE,
    counts_table,
    moves_line,
    parameters_table,
    plain_table,
    posterior_table,
    segments_table,
)
from ops.cli.support import command, err, open_store, out, print_json, read_settings
from ops.population import Page, Population
from ops.posterior import CUSTOMERS_MAX, Credible, check_installed, posterior_of
from ops.scorecards import Comparison, put_in_use, scorecard_in_use
from schemas.errors import ConfigurationError
from schemas.scorecard import Family, Origin, Scorecard
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.overriding import overridden
from scoring.refit import Refit, RefitOptions, refit
from scoring.segment_count import COUNTS, CountQuality
from state.store import Store
from streams.overrides import read_overrides
from streams.settings import Settings

_AUTO = "auto"


class Model(StrEnum):
    """Names of the dropout models on the command line."""

    MBG = "mbg"
    BG = "bg"


_FAMILIES = {Model.MBG: Family.MBGNBD, Model.BG: Family.BGNBD}


@command
async def fit(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Purchases; else the live state.")
    ] = None,
    format_name: FormatName = None,
    mapping: Mapping = "",
    k: Annotated[
        str, typer.Option("--k", help="Number of segments, 2 to 8; auto: as many as are stable.")
    ] = _AUTO,
    model: Annotated[
        Model | None, typer.Option(help="mbg: MBG/NBD, bg: BG/NBD. [EVERSCORE_FAMILY]")
    ] = None,
    posterior: Annotated[
        bool,
        typer.Option(
            "--posterior", help="Say how sure the parameters are; takes minutes, and PyMC."
        ),
    ] = False,
    posterior_draws: Annotated[
        int, typer.Option(min=100, help="Of each of two chains, after as many to find the way.")
    ] = 1_000,
    to: Annotated[Path | None, typer.Option("--out", help="Write the candidate here.")] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Put it into use at once, without a look.")
    ] = False,
    quiet: Quiet = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The candidate as one JSON document.")
    ] = False,
) -> None:
    """Learn a candidate scorecard from all customers; nothing is changed unless you --publish it."""
    settings = read_settings()
    source = Source(file, format_name, mapping)
    count = _count(k)
    overrides = read_overrides(settings.overrides)  # what is wrong with it, before the work
    if posterior:
        check_installed()
    family = settings.family if model is None else _FAMILIES[model]
    async with open_store(settings) as store:
        live = publish or not source.is_file
        current = await scorecard_in_use(store) if live else _nothing_learnt(settings, family)
        if to is not None:
            _check_writable(to)
        with progress(quiet=quiet or as_json) as bar:
            population = Population()
            async for page in source.pages(None if source.is_file else store, settings, bar):
                population.add(page)
            options = RefitOptions(
                family=family,
                count=count,
                hysteresis=settings.hysteresis,
                lifecycle=settings.lifecycle,
                source=source.described(),
            )
            found = _refit(population, current, options, settings, bar)
            sure = (
                _posterior(found, population, settings, posterior_draws, bar) if posterior else []
            )
        card = overridden(found.scorecard, overrides)
        if publish:
            card = await put_in_use(store, settings, card)
    if to is not None:
        to.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(card.model_dump(mode="json"))
        return
    _show(found, card, current, population, settings)
    if sure:
        out.print()
        out.print(posterior_table(sure))
    _say_what_next(card, current, settings, to, source, published=publish)


def _count(text: str) -> int | None:
    if text == _AUTO:
        return None
    if text.isdigit() and int(text) in COUNTS:
        return int(text)
    raise ConfigurationError(
        f"--k {text!r} is no number of segments.",
        hint=f"Give {COUNTS[0]} to {COUNTS[-1]}, or auto.",
    )


def _nothing_learnt(settings: Settings, family: Family) -> Scorecard:
    """What a file is compared with: nothing of an installation is asked for."""
    return bootstrap_scorecard(family, hysteresis=settings.hysteresis, lifecycle=settings.lifecycle)


def _check_writable(path: Path) -> None:
    if not path.parent.is_dir() or path.is_dir():
        raise ConfigurationError(
            f"--out {path}: that is no file in a folder that exists.",
            hint="Name one, such as card.json.",
        )


def _refit(
    population: Population,
    current: Scorecard,
    options: RefitOptions,
    settings: Settings,
    bar: Progress,
) -> Refit:
    numbers = COUNTS if options.count is None else (options.count,)
    task = bar.add_task("fitting", total=len(numbers))

    def judged(quality: CountQuality) -> None:
        bar.update(task, advance=1, description=f"{quality.count} segments looked at")

    calendar = BusinessCalendar(settings.timezone)
    return refit(
        population.sample(), population.now_us, current, options, calendar, settings.seed, judged
    )


def _posterior(
    found: Refit, population: Population, settings: Settings, draws: int, bar: Progress
) -> list[Credible]:
    customers = population.sample()
    bar.add_task(
        f"sampling the posterior, {min(len(customers), CUSTOMERS_MAX):,} customers", total=None
    )
    return posterior_of(
        customers,
        population.now_us,
        found.scorecard,
        BusinessCalendar(settings.timezone),
        draws=draws,
        seed=settings.seed,
    )


def _show(
    found: Refit, card: Scorecard, current: Scorecard, population: Population, settings: Settings
) -> None:
    training = card.training
    sampled = population.seen > training.customers
    out.print(
        f"[bold]{training.customers:,} customers[/] of {escape(training.source or '')}"
        + (f" (a uniform sample of {population.seen:,})" if sampled else "")
        + f", {training.repeat_customers:,} of whom came back, as of {when(training.observed_at)}",
        highlight=False,
    )
    against = (
        " (published parameters, nothing learnt)" if current.origin is Origin.BOOTSTRAP else ""
    )
    out.print(f"compared with {current.version}{against}\n", highlight=False)
    names = (current.version, CANDIDATE)
    out.print(parameters_table(card, current, names))
    if found.spend_refusal:
        out.print(f"[yellow]no model of spend:[/] {escape(found.spend_refusal)}", highlight=False)
    quality = plain_table("how good", *names, "")
    quality.add_row(
        "log likelihood per customer",
        f"{found.log_likelihood_before:.4f}",
        f"{training.log_likelihood_per_customer:.4f}",
        "higher is better",
    )
    quality.add_row(
        "inertia per customer",
        f"{found.inertia_before:.4f}",
        f"{training.inertia_per_customer:.4f}",
        "lower is better",
    )
    out.print()
    out.print(quality)
    out.print()
    out.print(counts_table(found.counts, len(card.segments)))
    everyone = Page(population.sample(), np.zeros(training.customers), None, population.now_us)
    comparison = Comparison(current, card, BusinessCalendar(settings.timezone), names)
    comparison.add(everyone)
    out.print()
    out.print(segments_table(card, comparison.matrix.sum(axis=0).tolist()))
    if current.origin is not Origin.BOOTSTRAP:
        out.print(f"\n{moves_line(comparison)}", highlight=False)


def _say_what_next(
    card: Scorecard,
    current: Scorecard,
    settings: Settings,
    to: Path | None,
    source: Source,
    *,
    published: bool,
) -> None:
    say_settings_that_differ(card, settings)
    out.print("\n[bold]What next[/]")
    if published:
        say_published(card, current, settings)
        return
    if to is None:
        out.print("  Nothing was written or changed. To keep the candidate: --out card.json")
        return
    out.print(f"  written to {to}; nothing is changed yet", highlight=False)
    out.print(
        f"  everscore scorecard diff current {to}   who would change segment, from where to where\n"
        f"  everscore scorecard promote {to}        put it into use",
        highlight=False,
        soft_wrap=True,
    )


def say_settings_that_differ(card: Scorecard, settings: Settings) -> None:
    """What the learner would undo."""
    wanted = []
    if len(card.segments) != settings.segment_count:
        wanted.append(f"EVERSCORE_SEGMENT_COUNT={len(card.segments)}")
    if card.alive.family is not settings.family:
        wanted.append(f"EVERSCORE_FAMILY={card.alive.family.value}")
    if wanted:
        err.print(
            f"[yellow]the workers' settings differ:[/] the learner would go back to "
            f"{settings.segment_count} segments and {settings.family.value}. Give them "
            f"{' '.join(wanted)}.",
            highlight=False,
            soft_wrap=True,
        )


def say_published(card: Scorecard, before: Scorecard, settings: Settings) -> None:
    """What happens after a scorecard was published, and the way back."""
    out.print(
        f"  published as [bold]{card.version}[/]: every partition adopts it, then re-scores all of its "
        "customers in the background; their changes say `scorecard`\n"
        f"  everscore scorecard ls                       who has adopted it\n"
        f"  everscore scorecard rollback {before.version:<16}the way back\n"
        f"  The learner goes on: every {settings.learn_interval_days:g} days of stream time it may "
        "publish a better one.",
        highlight=False,
        soft_wrap=True,
    )


async def current_or_none(store: Store) -> Scorecard | None:
    """The scorecard in use, if there is one."""
    try:
        return await scorecard_in_use(store)
    except ConfigurationError:
        return None
