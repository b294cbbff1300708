"""Reading customers with a bar on stderr: from the live state, or from a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ops.cli.support import err, wall_us
from ops.loaders.formats import FORMATS
from ops.loaders.mapped_csv import parse_mapping
from ops.loaders.source import LoadOptions, LoadReport
from ops.population import Page, customers_known, file_pages, format_of, live_pages
from state.store import Store
from streams.settings import Settings

FormatName = Annotated[
    str | None,
    typer.Option("--format", help=f"Of the file: {', '.join(FORMATS)}; else told by its name."),
]
Mapping = Annotated[
    str, typer.Option("--map", help="csv: customer_id=COLUMN,occurred_at=COLUMN,amount=COLUMN…")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


class Source:
    """Where customers come from.

    Parameters
    ----------
    path : Path, optional
    format_name : str, optional
        Of the file; cdnow needs none. Without both: the live state.
    mapping : str
        For csv.
    """

    def __init__(self, path: Path | None, format_name: str | None, mapping: str) -> None:
        self._path = path
        self.is_file = path is not None or format_name is not None
        self._format = format_of(path, format_name) if self.is_file else ""
        self._columns = parse_mapping(mapping) if mapping else {}

    def described(self, partitions: int | None = None) -> str:
        """In words, for the scorecard to say."""
        if self.is_file:
            return (
                f"{self._path.name if self._path else 'the file within lifetimes'} ({self._format})"
            )
        return "the live state" + (f", {partitions} partitions" if partitions else "")

    async def pages(
        self, store: Store | None, settings: Settings, bar: Progress
    ) -> AsyncIterator[Page]:
        """Everybody, while a bar grows."""
        if store is None or self.is_file:
            task = bar.add_task(f"reading {self.described()}", total=None)
            paths = [self._path] if self._path is not None else []
            options = LoadOptions(columns=self._columns)
            pages = file_pages(self._format, paths, options, settings, LoadReport(), wall_us())
            for page in pages:
                bar.advance(task, len(page.ranks))
                yield page
        else:
            _, customers = await customers_known(store)
            task = bar.add_task("reading customers", total=customers)
            async for page in live_pages(store, settings, wall_us()):
                bar.advance(task, len(page.ranks))
                yield page
        bar.remove_task(task)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """A bar for counted things; gone when they are done."""
    with Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}"),
        TimeElapsedColumn(),
        console=err,
        disable=quiet,
        transient=True,
    ) as bar:
        yield bar
