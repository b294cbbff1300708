"""JSON lines: one Transaction v1 a line, replayed byte for byte.

Owns finding each line's key and place in time. Judges no line: what is no Transaction v1 is
replayed all the same, so that a worker dead-letters it as it would have the first time, and a
dead-letter file can be tried again. Blank lines are no rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ops.loaders.source import LoadReport, RawRecord, in_time_order
from schemas.errors import InvalidTransactionError, SourceFileError
from schemas.transaction import AMOUNT_MAJOR_MAX, ID_CHARS_MAX, is_customer_id, parse_transaction

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Line(msgspec.Struct, gc=False):
    """The shape nearly every line has; any other is read by the model at ten times the cost."""

    transaction_id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]
    customer_id: str
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]
    amount: int | float
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] | None = None
    kind: Literal["purchase", "refund"] = "purchase"
    items: Any = None
    channel: str | None = None


class _Moment(msgspec.Struct, gc=False):
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]


class _Key(msgspec.Struct, gc=False):
    customer_id: str


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_moment = msgspec.json.Decoder(_Moment).decode
_decode_key = msgspec.json.Decoder(_Key).decode


def load_jsonl(paths: Sequence[Path], *, report: LoadReport) -> Iterator[RawRecord]:
    """Read the lines of one or more files.

    Parameters
    ----------
    paths : one or more
        Bytes are kept but for line ends and a byte order mark.
    report : LoadReport
        Filled before this returns. A row is a line that is not blank; every row is used. Lines
        that are no Transaction v1 are `expected_dead_letters`, the first few with their reason.
        A currency other than the worker's is for the worker to refuse.

    Returns
    -------
    iterator of RawRecord
        By time, then file order. A line whose time cannot be read stays behind the line before
        it that has one; such lines at a file's start stand before its first readable one.

    Raises
    ------
    SourceFileError
        A file cannot be opened, or holds one JSON array instead of lines.
    """
    if not paths:
        raise SourceFileError("jsonl needs a file.", hint="Give one with a JSON object per line.")
    records: list[RawRecord] = []
    for path in paths:
        records += _read(path, report)
    report.rows_used += len(records)
    return in_time_order(records, report)


def _read(path: Path, report: LoadReport) -> list[RawRecord]:
    records: list[RawRecord] = []
    leading: list[tuple[str | None, bytes]] = []  # lines before the first readable time
    latest: datetime | None = None
    try:
        with path.open("rb") as handle:
            for number, line in enumerate(handle, start=1):
                raw = line.strip(b"\r\n")
                if number == 1:
                    raw = raw.removeprefix(_BYTE_ORDER_MARK)
                    if raw.strip() == b"[":
                        raise _array(path)
                if not raw.strip():
                    continue
                report.rows_read += 1
                customer_id, moment = _place(raw, f"{path} line {number}", report)
                latest = moment or latest
                if latest is None:
                    leading.append((customer_id, raw))
                else:
                    records.append(RawRecord(customer_id, latest, raw))
    except OSError as error:
        raise SourceFileError(
            f"{path} cannot be read: {error}.", hint="Check that it is there."
        ) from None
    # Among others such a line is a faulty producer's record, to be dead-lettered.
    if not records and len(leading) == 1 and leading[0][1].lstrip().startswith(b"["):
        raise _array(path)
    first = records[0].occurred_at if records else _EPOCH
    return [RawRecord(customer_id, first, raw) for customer_id, raw in leading] + records


def _place(raw: bytes, place: str, report: LoadReport) -> tuple[str | None, datetime | None]:
    """Key and time of a line, and its count in the report."""
    with suppress(*_UNREADABLE):
        line = _decode_line(raw)
        if (
            line.items is None
            and is_customer_id(line.customer_id)
            and -AMOUNT_MAJOR_MAX <= line.amount <= AMOUNT_MAJOR_MAX
        ):
            is_refund = line.kind == "refund" or line.amount < 0
            return _counted(line.customer_id, line.occurred_at, report, is_refund=is_refund)
    try:
        read = parse_transaction(raw)
    except InvalidTransactionError as error:
        report.expected_dead_letters += 1
        report.give_example(f"{place}: {error}")
        return _salvaged(raw)
    return _counted(read.customer_id, read.occurred_at, report, is_refund=read.is_refund)


def _counted(
    customer_id: str, moment: datetime, report: LoadReport, *, is_refund: bool
) -> tuple[str, datetime]:
    if is_refund:
        report.refunds += 1
    else:
        report.purchases += 1
    return customer_id, moment


def _salvaged(raw: bytes) -> tuple[str | None, datetime | None]:
    """What a line that is no transaction still says of its key and time."""
    customer_id: str | None = None
    moment: datetime | None = None
    with suppress(*_UNREADABLE):
        customer_id = _decode_key(raw).customer_id or None
    with suppress(*_UNREADABLE):
        moment = _decode_moment(raw).occurred_at
    return customer_id, moment


def _array(path: Path) -> SourceFileError:
    return SourceFileError(
        f"{path} is one JSON array, not one object per line.",
        hint=f"Convert it: jq -c '.[]' {path.name} > lines.jsonl",
    )
