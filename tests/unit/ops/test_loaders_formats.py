"""The registry behind `everscore replay FORMAT`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from ops.loaders.formats import FORMATS, load
from ops.loaders.source import LoadOptions, LoadReport
from schemas.errors import ConfigurationError

CSV_COLUMNS = {"customer_id": "a", "occurred_at": "b", "amount": "c"}


def test_every_format_describes_itself() -> None:
    assert list(FORMATS) == ["cdnow", "cdnow-sample", "online-retail", "olist", "jsonl", "csv"]
    known = {field.name for field in fields(LoadOptions)}
    for chosen in FORMATS.values():
        assert chosen.description
        assert chosen.files
        assert chosen.options <= known
        assert (chosen.timezone is not None) == ("timezone" in chosen.options)


def test_unknown_format_lists_the_known() -> None:
    with pytest.raises(
        ConfigurationError, match="cdnow, cdnow-sample, online-retail, olist, jsonl, csv"
    ):
        load("xml", [], LoadOptions(), LoadReport())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cdnow", LoadOptions(missing_customer="dead-letter")),
        ("jsonl", LoadOptions(timezone="UTC")),
        ("olist", LoadOptions(decimal_comma=True)),
        ("online-retail", LoadOptions(columns=CSV_COLUMNS)),
    ],
)
def test_option_the_format_does_not_read_is_refused(name: str, options: LoadOptions) -> None:
    with pytest.raises(ConfigurationError, match=f"format {name} has no use for the option"):
        load(name, [], options, LoadReport())


def test_options_reach_the_loader(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes("a~b~c\nZoë~01.07.2024~1.000,50\n~01.07.2024~2\n".encode("cp1252"))
    report = LoadReport()
    options = LoadOptions(
        timezone="Europe/Berlin",
        missing_customer="dead-letter",
        columns=CSV_COLUMNS,
        date_format="%d.%m.%Y",
        decimal_comma=True,
        delimiter="~",
        encoding="cp1252",
    )
    records = list(load("csv", [path], options, report))
    assert b'"Zo\xc3\xab","occurred_at":"2024-07-01T00:00:00+02:00","amount":1000.50' in (
        records[0].payload(None)
    )
    assert [record.customer_id for record in records] == ["Zoë", None]
    assert report.records == 2


def test_time_zone_option_replaces_the_default(tmp_path: Path) -> None:
    path = tmp_path / "purchases.txt"
    path.write_text("1 19970101 1 2.00\n")
    (record,) = load("cdnow", [path], LoadOptions(timezone="Asia/Tokyo"), LoadReport())
    assert record.occurred_at.isoformat() == "1997-01-01T00:00:00+09:00"
    (record,) = load("cdnow", [path], LoadOptions(), LoadReport())
    assert record.occurred_at.isoformat() == "1997-01-01T00:00:00+00:00"


def test_csv_without_a_mapping_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="leaves out"):
        load("csv", [tmp_path / "sales.csv"], LoadOptions(), LoadReport())
