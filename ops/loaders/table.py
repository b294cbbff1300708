"""Tables of known columns, whether csv, xlsx or parquet.

Owns opening the file, finding the columns by their header and the row numbers a person would
see in a spreadsheet. Does not interpret a cell: csv gives text, the others what they hold.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from schemas.errors import SourceFileError, shown

if TYPE_CHECKING:
    from types import ModuleType

_CSV_SUFFIXES = (".csv", ".txt")
_PARQUET_SUFFIXES = (".parquet", ".pq")

# Rows decoded at once: bounds the memory of a parquet file whatever its row groups.
_PARQUET_BATCH_ROWS = 65_536

Row = tuple[int, tuple[Any, ...]]


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Read the named columns of a table.

    Parameters
    ----------
    path : Path
        Its suffix says what it is: .csv or .txt, .xlsx, .parquet or .pq.
    columns : n names
        As in the header line, in the order wanted.

    Yields
    ------
    (row number, n cells)
        The header is row 1. Blank rows of csv and xlsx are passed over.

    Raises
    ------
    SourceFileError
        Absent, not what its suffix says, a column is missing, or the optional package is.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in _CSV_SUFFIXES:
            yield from _csv_rows(path, columns)
        elif suffix == ".xlsx":
            yield from _xlsx_rows(path, columns)
        elif suffix in _PARQUET_SUFFIXES:
            yield from _parquet_rows(path, columns)
        else:
            raise SourceFileError(
                f"{path} has the suffix {suffix!r}.", hint="Readable are .csv, .xlsx and .parquet."
            )
    except (OSError, BadZipFile, csv.Error) as error:
        raise SourceFileError(
            f"{path} cannot be read: {error}.", hint=f"Check that it is there and is {suffix}."
        ) from None


def find_columns(path: Path, header: Sequence[object], columns: Iterable[str]) -> list[int]:
    """Where the wanted columns stand.

    Parameters
    ----------
    path : Path
        For the message.
    header : sequence
        Cells of the first row.
    columns : iterable of str
        Names wanted.

    Returns
    -------
    list of int, one per name

    Raises
    ------
    SourceFileError
        A name is absent or stands there twice.
    """
    names = ["" if cell is None else str(cell).strip() for cell in header]
    positions = []
    for column in columns:
        if names.count(column) != 1:
            fault = "has no column" if column not in names else "has more than one column"
            seen = ", ".join(repr(name) for name in names[:20]) or "nothing"
            raise SourceFileError(
                f"{path} {fault} {column!r}.", hint=f"Its first row holds: {seen}."
            )
        positions.append(names.index(column))
    return positions


def csv_header(path: Path) -> list[str]:
    """First row of a csv file.

    Parameters
    ----------
    path : Path
        Comma-separated, whatever its suffix.

    Returns
    -------
    list of str
        Empty for an empty file.

    Raises
    ------
    SourceFileError
        The file cannot be opened.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
            return [name.strip() for name in next(csv.reader(handle), [])]
    except (OSError, csv.Error) as error:
        raise SourceFileError(
            f"{path} cannot be read: {error}.", hint="Check that it is there and is csv."
        ) from None


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    # Copies of the published files mix encodings in free text that nobody here reads; the
    # columns that are read are ASCII in all of them.
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
        reader = csv.reader(handle)
        positions = find_columns(path, next(reader, []), columns)
        needed = max(positions) + 1
        for row in reader:
            if len(row) < needed:
                if not row:
                    continue
                raise SourceFileError(
                    f"{path} row {reader.line_num} has {len(row)} cells, {needed} are needed.",
                    hint="The file may be cut short; fetch it again.",
                )
            cells = tuple([row[position] for position in positions])
            if "\ufffd" in "".join(cells):
                raise SourceFileError(
                    f"{path} row {reader.line_num} holds text that is not UTF-8: {shown(cells)}.",
                    hint="Save the file as UTF-8.",
                )
            yield reader.line_num, cells


def _xlsx_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    openpyxl = _optional("openpyxl", path)
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (KeyError, ValueError) as error:
        raise SourceFileError(f"{path} is no readable workbook: {error}.") from None
    with closing(workbook):
        sheet = _sheet(path, workbook.worksheets, columns)
        positions: list[int] = []
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            if number == 1:
                positions = find_columns(path, row, columns)
                continue
            cells = tuple(row[p] if p < len(row) else None for p in positions)
            if any(cell is not None for cell in cells):
                yield number, cells


def _sheet(path: Path, sheets: Sequence[Any], columns: Sequence[str]) -> Any:
    """The only sheet with the columns wanted; the first, for its error, if none has them."""
    fitting = []
    for sheet in sheets:
        header = next(sheet.iter_rows(max_row=1, values_only=True), ())
        if {str(cell).strip() for cell in header} >= set(columns):
            fitting.append(sheet)
    if len(fitting) > 1:
        raise SourceFileError(
            f"{path} has {len(fitting)} sheets with these columns: "
            f"{', '.join(repr(sheet.title) for sheet in fitting)}.",
            hint="Save the one meant as a file of its own.",
        )
    if not sheets:
        raise SourceFileError(f"{path} has no sheet.")
    return fitting[0] if fitting else sheets[0]


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    arrow = _optional("pyarrow", path)
    parquet = _optional("pyarrow.parquet", path)
    number = 1
    try:
        with closing(parquet.ParquetFile(path)) as file:
            find_columns(path, file.schema_arrow.names, columns)
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS, columns=list(columns)):
                cells = [_plain(arrow, batch.column(column)) for column in columns]
                for row in zip(*cells, strict=True):
                    number += 1
                    yield number, row
    except arrow.ArrowException as error:
        raise SourceFileError(f"{path} is no readable parquet file: {error}.") from None


def _plain(arrow: ModuleType, column: Any) -> list[Any]:
    # Nanoseconds have no datetime; files written by older pandas carry them.
    if arrow.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(arrow.timestamp("us", tz=column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def _optional(module: str, path: Path) -> ModuleType:
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise SourceFileError(
            f"{path} needs the package {package}, which is not installed.",
            hint="Run `pip install everscore[files]`.",
        ) from None
