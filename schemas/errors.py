"""The error family.

Owns one class per thing that can go wrong and says whether trying again can help.
Every message names the value seen; `hint` names the operator's next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

_SHOWN_CHARS_MAX = 120  # enough to recognise a value, too little to flood a log or leak a payload


def shown(value: object) -> str:
    """`repr` of a value, cut so that an 8 MB record gives a one-line message."""
    text = repr(value)
    if len(text) <= _SHOWN_CHARS_MAX:
        return text
    return f"{text[:_SHOWN_CHARS_MAX]}… ({len(text):,} characters)"


class PipelineError(Exception):
    """Base of all errors raised on purpose.

    Attributes
    ----------
    retriable : bool
        True: back off and try again, acknowledge nothing. False: trying again gives the same.
    """

    retriable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} {hint}")
        self.hint = hint


class InvalidTransactionError(PipelineError):
    """A record is not a Transaction v1; it goes to the dead-letter topic."""


class OversizeRecordError(InvalidTransactionError):
    """A record is larger than `record_bytes_max`."""


class InvalidTimestampError(InvalidTransactionError):
    """A record's own timestamp is no time in milliseconds."""


class FutureTransactionError(InvalidTransactionError):
    """A transaction lies further ahead of its record's own timestamp than allowed."""


class WrongCurrencyError(InvalidTransactionError):
    """A transaction is in another currency than the configured one."""


class InvalidErasureError(InvalidTransactionError):
    """A record that asks to forget a customer, and does not say whom or since when."""


class NotYetErasedError(PipelineError):
    """An erasure stands in the log, and no worker has come to it."""

    retriable = True


class CustomerTotalError(InvalidTransactionError):
    """A transaction would carry a sum of its customer beyond what the ledger keeps."""


class ShapeError(PipelineError):
    """Arrays that describe the same customers differ in length."""


class TimelineError(PipelineError):
    """Some t_x_days lies outside [0, age_days]; `rows` says which."""

    def __init__(self, message: str, rows: Sequence[int]) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class DegenerateFitError(PipelineError):
    """The data cannot support the model; the scorecard in use stays."""


class LedgerError(PipelineError):
    """A packed ledger cannot be read: it was written by something else, or cut short."""


class ConfigurationError(PipelineError):
    """A setting, or a server's setting, makes correct work impossible."""


class FencedError(PipelineError):
    """Another worker owns the partition, or Redis is not where this worker left it."""

    retriable = True


class RebuildingError(PipelineError):
    """Somebody is rebuilding the partition and keeps it until that is done."""


class StoreUnavailableError(PipelineError):
    """Redis does not answer."""

    retriable = True


class BrokerUnavailableError(PipelineError):
    """Kafka does not answer."""

    retriable = True


class InvariantError(PipelineError):
    """Our own bug: the worker stops, nothing is committed or dead-lettered."""


class UnknownCustomerError(PipelineError):
    """No purchase of that customer has been counted."""


class SourceFileError(PipelineError):
    """A file given to `everscore replay` cannot be read as the format named."""
