"""CDNOW: 69,659 purchases of 23,570 customers, 1997-01-01 to 1998-06-30.

Owns the layout of `CDNOW_master.txt`, which lies in the lifetimes package, and finding it there.
Its 255 exact duplicate rows are real purchases and stay distinct; its 80 zero amounts count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from importlib.util import find_spec
from pathlib import Path

from ops.loaders.moments import time_zone, with_offset
from ops.loaders.source import LoadReport, SourceTransaction, in_time_order
from schemas.errors import SourceFileError, shown

_COLUMNS = ("customer_id", "date", "number_of_cds", "dollar_value")


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
    if len(paths) > 1:
        raise SourceFileError(
            f"cdnow reads one file, {len(paths)} were given.", hint="Replay them one at a time."
        )
    path = paths[0] if paths else shipped_file()
    zone = time_zone(timezone)
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceFileError(
            f"{path} cannot be read: {error}.",
            hint="Give no file to read the one within lifetimes.",
        ) from None
    # The publisher's own download has no header line, the copy within lifetimes has one.
    has_header = bool(lines) and lines[0].split()[:1] == [_COLUMNS[0]]
    moments: dict[str, datetime] = {}
    transactions: list[SourceTransaction] = []
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        if not cells or (number == 1 and has_header):
            continue
        if len(cells) != len(_COLUMNS):
            raise _unreadable(path, number, "columns", len(cells), f"is not {len(_COLUMNS)}")
        customer_id, date, _, dollars = cells
        moment = moments.get(date)
        if moment is None:
            try:
                moment = moments[date] = with_offset(_day(date), zone)
            except ValueError:
                raise _unreadable(path, number, "date", date, "is not a yyyymmdd date") from None
        try:
            amount = Decimal(dollars)
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount.is_signed():
            raise _unreadable(path, number, "dollar_value", dollars, "is not an amount")
        transactions.append(SourceTransaction(f"cdnow-{number:06d}", customer_id, moment, amount))
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
    # By its spec: importlib.resources would import lifetimes, which costs a second and needs
    # pkg_resources, which setuptools has dropped.
    spec = find_spec("lifetimes")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "datasets" / "CDNOW_master.txt"
        if path.is_file():
            return path
    raise SourceFileError(
        "CDNOW_master.txt is not to be found within the lifetimes package.",
        hint="Run `pip install lifetimes`, or give the file's path.",
    )


def _day(text: str) -> datetime:
    if len(text) != 8 or not text.isdigit():
        raise ValueError(text)
    return datetime.fromisoformat(text)


def _unreadable(path: Path, number: int, column: str, value: object, why: str) -> SourceFileError:
    return SourceFileError(
        f"{path} line {number}: {column} {shown(value)} {why}.",
        hint=f"The format is: {' '.join(_COLUMNS)}, separated by spaces.",
    )
