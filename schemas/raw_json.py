"""Records as JSON text: one grammar for the hot path and the model.

Owns what is refused before any field is looked at: bytes that are not UTF-8, text that is not JSON as
RFC 8259 has it (NaN and Infinity are not), nesting and numbers that only an attacker needs. Knows no
field.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
import numpy as np

from schemas.errors import InvalidTransactionError, shown

NESTING_MAX = 200
"""Brackets within brackets. A fixed number, far below where a parser's recursion ends: that depends on
the interpreter and on how deep the call stands, and a replay would come to another verdict."""

NUMBER_CHARS_MAX = 4_300
"""Of a JSON number; decimal strings may be longer. Python reads no longer integers by default, and
msgspec takes a 1 with 100,000 zeros and e-100000 for infinite."""

_NEAR_BYTES = 24  # shown on either side of where the text stops being JSON

# A string, or what there is of one: without the last quote being optional, a record of escaped
# quotes would be read anew from each of them.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BYTE = re.compile(r"\(byte (\d+)\)")

_NUMBER = re.compile(rb"[-+.0-9eE]++")
_IN_NUMBERS = bytes(ord("0") if chr(code) in "+-.0123456789eE" else ord(" ") for code in range(256))
_LONG_NUMBER = b"0" * (NUMBER_CHARS_MAX + 1)

T = TypeVar("T", bound=msgspec.Struct)


def check_text(raw: bytes) -> None:
    """Refuse what parsers either overlook in fields they skip, or do not survive.

    Raises
    ------
    InvalidTransactionError
    """
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            near = raw[max(error.start - _NEAR_BYTES, 0) : error.start + _NEAR_BYTES]
            raise InvalidTransactionError(
                f"record is not UTF-8: {error.reason} at byte {error.start}, near {near!r}"
            ) from None
    # Each level takes two bytes at least, and ordinary records are shorter than that.
    if len(raw) > 2 * NESTING_MAX and raw.count(b"[") + raw.count(b"{") > NESTING_MAX:
        depth = _nesting(raw)
        if depth > NESTING_MAX:
            raise InvalidTransactionError(
                f"record {shown(raw)} is nested {depth:,} deep; {NESTING_MAX} is the limit"
            )
    if len(raw) > NUMBER_CHARS_MAX and _LONG_NUMBER in raw.translate(_IN_NUMBERS):
        longest = max(_NUMBER.findall(_STRING.sub(b'""', raw)), key=len, default=b"")
        if len(longest) > NUMBER_CHARS_MAX:
            raise InvalidTransactionError(
                f"record {shown(raw)} holds a number of {len(longest):,} characters, "
                f"{longest[:_NEAR_BYTES]!r}…; {NUMBER_CHARS_MAX:,} is the limit"
            )


def _nesting(raw: bytes) -> int:
    characters = np.frombuffer(_STRING.sub(b'""', raw), dtype=np.uint8)
    opening = np.isin(characters, np.frombuffer(b"[{", dtype=np.uint8))
    closing = np.isin(characters, np.frombuffer(b"]}", dtype=np.uint8))
    depths = np.cumsum(opening.astype(np.int64) - closing)
    return int(depths.max(initial=0))


def decode_object(raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a record whose fields are all left as they are (`msgspec.Raw`).

    Raises
    ------
    InvalidTransactionError
        It is not a JSON object; says where it stops being one.
    """
    check_text(raw)
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        raise InvalidTransactionError(f"record {shown(raw)} is not a JSON object") from None
    except msgspec.DecodeError as error:
        raise InvalidTransactionError(_malformed(raw, str(error))) from None


def _malformed(raw: bytes, what: str) -> str:
    found = _BYTE.search(what)
    if found is None:
        return f"record {shown(raw)} is not JSON: {what}"
    at = int(found[1])
    near = raw[max(at - _NEAR_BYTES, 0) : at + _NEAR_BYTES]
    note = "; JSON has no NaN or Infinity" if raw[at : at + 3] in (b"NaN", b"Inf") else ""
    return f"record {shown(raw)} is not JSON: {what}, near {near!r}{note}"


def decode_value(name: str, raw: msgspec.Raw) -> Any:
    """The value of one field of `decode_object`.

    Raises
    ------
    InvalidTransactionError
        It holds a number that no type of ours can.
    """
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError as error:
        text = shown(bytes(memoryview(raw)))
        raise InvalidTransactionError(f"{name} {text}: {error}") from None
