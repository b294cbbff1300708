"""CDNOW: 69,659 purchases of 23,570 customers, 1997-01-01 to 1998-06-30; and every tenth of them.

Owns the layouts of `CDNOW_master.txt` and `CDNOW_sample.txt`, which lie in the lifetimes package, and
finding them there. The master's 255 exact duplicate rows are real purchases and stay distinct; its 80
zero amounts count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from importlib.util import find_spec
from pathlib import Path

from ops.loaders.moments import time_zone, with_offset
from ops.loaders.source import LoadReport, SourceTransaction, in_time_order
from schemas.errors import SourceFileError, shown


@dataclass(frozen=True, slots=True)
class _Layout:
    """One of the two files: its name on the command line, where it is shipped, its columns."""

    name: str
    shipped: str
    columns: tuple[str, ...]


_MASTER = _Layout(
    "cdnow", "CDNOW_master.txt", ("customer_id", "date", "number_of_cds", "dollar_value")
)
_SAMPLE = _Layout(
    "cdnow-sample",
    "CDNOW_sample.txt",
    ("customer_id", "sample_id", "date", "number_of_cds", "dollar_value"),
)


def load_cdnow(
    paths: Sequence[Path] = (), *, report: LoadReport, timezone: str = "UTC"
) -> Iterator[SourceTransaction]:
    """Read CDNOW, or a file laid out like it.

    Parameters
    ----------
    paths : none or one
        None: the file shipped with lifetimes.
    report : LoadReport
        Filled before this returns. A row is a line.
    timezone : str
        The file has dates only; a purchase happens at midnight of this zone.

    Returns
    -------
    iterator of SourceTransaction
        By date, then file order. `transaction_id` is cdnow- and the line's number in the file.

    Raises
    ------
    SourceFileError
        The file is absent or a line is not `customer_id yyyymmdd number_of_cds dollar_value`.
    """
    return _load(_MASTER, paths, report, timezone)


def load_cdnow_sample(
    paths: Sequence[Path] = (), *, report: LoadReport, timezone: str = "UTC"
) -> Iterator[SourceTransaction]:
    """Read the tenth of CDNOW that the field's papers are about: 6,919 purchases of 2,357 customers.

    As `load_cdnow`; a line is `customer_id sample_id yyyymmdd number_of_cds dollar_value`, and a
    `transaction_id` cdnow-sample- and its number.

    Notes
    -----
    Source: Fader and Hardie (2001), "Forecasting repeat sales at CDNOW"; every tenth customer.
    """
    return _load(_SAMPLE, paths, report, timezone)


def _load(
    layout: _Layout, paths: Sequence[Path], report: LoadReport, timezone: str
) -> Iterator[SourceTransaction]:
    if len(paths) > 1:
        raise SourceFileError(
            f"{layout.name} reads one file, {len(paths)} were given.",
            hint="Replay them one at a time.",
        )
    path = paths[0] if paths else _shipped(layout)
    zone = time_zone(timezone)
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceFileError(
            f"{path} cannot be read: {error}.",
            hint="Give no file to read the one within lifetimes.",
        ) from None
    # The publisher's own download has no header line, the copy within lifetimes has one.
    has_header = bool(lines) and lines[0].split()[:1] == [layout.columns[0]]
    moments: dict[str, datetime] = {}
    transactions: list[SourceTransaction] = []
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        if not cells or (number == 1 and has_header):
            continue
        if len(cells) != len(layout.columns):
            raise _unreadable(
                layout, path, number, "columns", len(cells), f"is not {len(layout.columns)}"
            )
        customer_id, (date, _, dollars) = cells[0], cells[-3:]
        moment = moments.get(date)
        if moment is None:
            try:
                moment = moments[date] = with_offset(_day(date), zone)
            except ValueError:
                raise _unreadable(
                    layout, path, number, "date", date, "is not a yyyymmdd date"
                ) from None
        try:
            amount = Decimal(dollars)
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount.is_signed():
            raise _unreadable(layout, path, number, "dollar_value", dollars, "is not an amount")
        transactions.append(
            SourceTransaction(f"{layout.name}-{number:06d}", customer_id, moment, amount)
        )
    report.rows_read += len(transactions)
    report.rows_used += len(transactions)
    report.purchases += len(transactions)
    return in_time_order(transactions, report)


def shipped_file() -> Path:
    """Where lifetimes keeps CDNOW.

    Returns
    -------
    Path

    Raises
    ------
    SourceFileError
        lifetimes is not installed, or without its data.
    """
    return _shipped(_MASTER)


def _shipped(layout: _Layout) -> Path:
    # By its spec: importlib.resources would import lifetimes, which costs a second and needs
    # pkg_resources, which setuptools has dropped.
    spec = find_spec("lifetimes")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "datasets" / layout.shipped
        if path.is_file():
            return path
    raise SourceFileError(
        f"{layout.shipped} is not to be found within the lifetimes package.",
        hint="Run `pip install lifetimes`, or give the file's path.",
    )


def _day(text: str) -> datetime:
    if len(text) != 8 or not text.isdigit():
        raise ValueError(text)
    return datetime.fromisoformat(text)


def _unreadable(
    layout: _Layout, path: Path, number: int, column: str, value: object, why: str
) -> SourceFileError:
    return SourceFileError(
        f"{path} line {number}: {column} {shown(value)} {why}.",
        hint=f"The format is: {' '.join(layout.columns)}, separated by spaces.",
    )
