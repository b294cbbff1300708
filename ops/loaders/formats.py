"""The formats `everscore replay` knows.

Owns their names, what is said of each on the command line, and which options each reads.
Reads no file itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from ops.loaders.cdnow import load_cdnow, load_cdnow_sample
from ops.loaders.jsonl import load_jsonl
from ops.loaders.mapped_csv import load_csv
from ops.loaders.olist import load_olist
from ops.loaders.online_retail import load_online_retail
from ops.loaders.source import LoadOptions, LoadReport, SourceRecord
from schemas.errors import ConfigurationError, shown

Load: TypeAlias = Callable[[Sequence[Path], LoadOptions, LoadReport], Iterator[SourceRecord]]


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes
    ----------
    description : str
        What it is, for a person choosing.
    files : str
        Which files to give.
    options : frozenset of str
        Fields of `LoadOptions` it reads.
    timezone : str or None
        Default zone of times without an offset; None if the format has none such.
    load : callable
    """

    description: str
    files: str
    options: frozenset[str]
    timezone: str | None
    load: Load


def _cdnow(
    paths: Sequence[Path], options: LoadOptions, report: LoadReport
) -> Iterator[SourceRecord]:
    return load_cdnow(paths, report=report, timezone=options.timezone or "UTC")


def _cdnow_sample(
    paths: Sequence[Path], options: LoadOptions, report: LoadReport
) -> Iterator[SourceRecord]:
    return load_cdnow_sample(paths, report=report, timezone=options.timezone or "UTC")


def _online_retail(
    paths: Sequence[Path], options: LoadOptions, report: LoadReport
) -> Iterator[SourceRecord]:
    return load_online_retail(
        paths,
        report=report,
        timezone=options.timezone or "Europe/London",
        missing_customer=options.missing_customer,
    )


def _olist(
    paths: Sequence[Path], options: LoadOptions, report: LoadReport
) -> Iterator[SourceRecord]:
    return load_olist(
        paths,
        report=report,
        timezone=options.timezone or "America/Sao_Paulo",
        missing_customer=options.missing_customer,
    )


def _jsonl(
    paths: Sequence[Path], options: LoadOptions, report: LoadReport
) -> Iterator[SourceRecord]:
    return load_jsonl(paths, report=report)


def _csv(paths: Sequence[Path], options: LoadOptions, report: LoadReport) -> Iterator[SourceRecord]:
    return load_csv(
        paths,
        report=report,
        columns=options.columns,
        timezone=options.timezone or "UTC",
        date_format=options.date_format,
        decimal_comma=options.decimal_comma,
        delimiter=options.delimiter,
        encoding=options.encoding,
        missing_customer=options.missing_customer,
    )


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "cdnow": Format(
            "CDNOW, 69,659 purchases of 1997 and 1998, shipped with lifetimes",
            "none, or one laid out like CDNOW_master.txt",
            frozenset({"timezone"}),
            "UTC",
            _cdnow,
        ),
        "cdnow-sample": Format(
            "every tenth customer of CDNOW, whom the field's papers are about; shipped, too",
            "none, or one laid out like CDNOW_sample.txt",
            frozenset({"timezone"}),
            "UTC",
            _cdnow_sample,
        ),
        "online-retail": Format(
            "UCI Online Retail, lines added up to invoices",
            "one or more of .xlsx, .csv, .parquet",
            frozenset({"timezone", "missing_customer"}),
            "Europe/London",
            _online_retail,
        ),
        "olist": Format(
            "Olist, Brazilian orders joined with customers and payments",
            "the folder, or its customers, orders and order_payments csv files",
            frozenset({"timezone", "missing_customer"}),
            "America/Sao_Paulo",
            _olist,
        ),
        "jsonl": Format(
            "one Transaction v1 a line, replayed byte for byte, bad lines included",
            "one or more",
            frozenset(),
            None,
            _jsonl,
        ),
        "csv": Format(
            "any csv with a header, by a column mapping",
            "one or more",
            frozenset(field.name for field in fields(LoadOptions)),
            "UTC",
            _csv,
        ),
    }
)


def load(
    name: str, paths: Sequence[Path], options: LoadOptions, report: LoadReport
) -> Iterator[SourceRecord]:
    """Read files as the format named.

    Parameters
    ----------
    name : str
        Key of `FORMATS`.
    paths : sequence of Path
        Files or a folder, as the format's `files` says.
    options : LoadOptions
        Only what the format reads may differ from the defaults.
    report : LoadReport
        Complete when this returns.

    Returns
    -------
    iterator of SourceRecord
        In time order, equal times in file order.

    Raises
    ------
    ConfigurationError
        No such format, or an option it does not read.
    SourceFileError
        A file is not what the format says.
    """
    chosen = FORMATS.get(name)
    if chosen is None:
        raise ConfigurationError(
            f"format {shown(name)} is unknown.", hint=f"Known are {', '.join(FORMATS)}."
        )
    unset = LoadOptions()
    for option in (field.name for field in fields(LoadOptions)):
        if option not in chosen.options and getattr(options, option) != getattr(unset, option):
            readable = ", ".join(sorted(chosen.options)) or "none"
            raise ConfigurationError(
                f"format {name} has no use for the option {option}.", hint=f"It reads: {readable}."
            )
    return chosen.load(paths, options, report)
