"""Field values, as JSON text, that a payload should not hold; and ways to damage a payload."""

from __future__ import annotations

import json
from collections.abc import Callable

STRINGS = [
    '""', '" "', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"',
    '"\\uD83D"', '"\\x41"', '"\\u12"', '"\\"', '"a\nb"', '"a\tb"', '"\x00"', '"\x1b[31m"',
    '"\\u001b]0;x\\u0007"', '"\x7f"', '"\u202e"', '"\u2028"', '"\ufeff"', '"\ufffe"',
    '"\U000e0001"', '"é"', '"日本"', '"NaN"', '"null"', '"[/red]"', '"' + "x" * 128 + '"',
    '"' + "x" * 129 + '"', '"' + "日" * 128 + '"', '"' + "\U0001f600" * 129 + '"',
    '"' + "y" * 3_000 + '"', '"%s%n"', '"${jndi:x}"', '"\'; DROP"', '"../../x"', "'single'",
    "unquoted", '"open',
]  # fmt: skip

SCALARS = [
    "null", "true", "false", "True", "None", "nul", "undefined", "NaN", "-NaN", "Infinity",
    "-Infinity", "inf", "0", "-0", "1", "-1", "0.0", "1.5", "1e5", "1E+5", "1e400", "-1e400",
    "1e-400", "1e99999999999", "01", "1.", ".5", "+1", "--1", "1e", "1_000", "0x10", "9" * 18,
    "9" * 30, "9" * 400, "9" * 4_300, "9" * 4_301, "9" * 20_000, "9223372036854775807",
    "9223372036854775808", "-9223372036854775809", "18446744073709551616", "0." + "0" * 400 + "1",
    "0." + "3" * 5_000, "1" + "0" * 400 + "e-400", "[]", "{}", "[1]", '{"a":1}', "[NaN]", "[1,]",
    "[,1]", '{"a":1,}', "{1:2}", "{'a':1}", '{"a" 1}', "[1 2]", "[" * 30 + "]" * 30, "", " ",
    "/**/1", '{"\\ud800":1}', "[" * 199 + "]" * 199, "[" * 200 + "]" * 200, *STRINGS,
]  # fmt: skip

_MOMENTS = [
    "2025-06-01", "2025-06-01T00:00:00", "2025-06-01T00:00Z", "2025-06-01T00Z", "20250601T000000Z",
    "2025-W23-1T00:00:00Z", "2025-152T00:00:00Z", "2025-06-01_00:00:00Z", "2025-06-01T00:00:00,5Z",
    "2025-06-01T00:00:00.Z", "2025-06-01T00:00:00+01", "2025-06-01T00:00:00+0100",
    "2025-06-01T00:00:00+01:00:30", "2025-06-01T00:00:00+24:00", "2025-06-01T00:00:00+00:60",
    "2025-06-01T00:00:00 Z", " 2025-06-01T00:00:00Z", "2025-06-01T00:00:00Z ",
    "2025-06-01T00:00:00Z\n", "2025-06-01T00:00:00\u221201:00", "2025-06-01T00:00:00UTC",
    "2025-06-01T00:00:00[UTC]", "2025-06-01T24:00:00Z", "2025-06-01T23:60:00Z",
    "2025-06-01T23:59:60Z", "2016-12-31T23:59:60Z", "2025-02-29T00:00:00Z", "2024-02-29T00:00:00Z",
    "2025-13-01T00:00:00Z", "2025-00-01T00:00:00Z", "2025-06-00T00:00:00Z", "2025-06-31T00:00:00Z",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01",
    "0001-01-01T00:00:00-00:01", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9999999Z",
    "9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59.9999999+14:00", "10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z", "+2025-06-01T00:00:00Z", "1969-12-31T23:59:59.9999999Z",
    "1970-01-01T00:00:00Z", "1582-10-10T00:00:00Z", "2026-01-01T01:00:00Z",
    "2026-01-01T01:00:00.0000004Z", "2026-01-01T01:00:00.0000005Z", "2026-01-01T01:00:00.000001Z",
    "2026-01-02T00:00:00Z", "2050-01-01T00:00:00Z", "1735689600", "1735689600000", "1735689600.5",
    "1e9", "\u0662\u0660\u0662\u0665-06-01T00:00:00Z", "now", "-", "\uff12025-06-01T00:00:00Z",
    "2025-6-1T0:0:0Z", "2025/06/01T00:00:00Z", "Sun, 01 Jun 2025 00:00:00 GMT",
    "2025-06-01T00:00:00.123456789012345678901234567890Z", "2025-06-01T00:00:00.49999995Z",
    "2025-06-01T00:00:00Zx",
]  # fmt: skip

_AMOUNTS = [
    "1.00005", "1.00015", "0.00005", "0.00015", "0.000050000001", "-0.00005",
    "0.00004999999999999999999999", "0.0000500000000000000000000000000000000001",
    "99999999999.99995", "100000000000", "100000000000.0", "100000000000.00001",
    "100000000000.0000000000000000000000001", "100000000001", "-100000000000", "-100000000001",
    "1e11", "1e12", "1e308", "1e309", "-1e309", "1e-308", "5e-324", "1e-5000", "0e999999",
    "0e-999999", "1e99999999999999999999", "1e-99999999999999999999", "9" * 5_000,
    "0." + "9" * 5_000, "0" * 5_000 + "1", "1_000", "1,000", "1.000,00", " 1", "1 ", "1\n", "+1",
    "+-1", ".5", "5.", "1e", "1e+", "0x1p3", "1f", "1d", "£1", "$1", "1 USD", "١", "１", "\u22121",
    "NaN", "nan", "sNaN", "-nan", "Infinity", "-inf", "INF", "ten", "", "1e1.5",
]  # fmt: skip

HOSTILE: dict[str, list[str]] = {
    "transaction_id": STRINGS,
    "customer_id": [
        *STRINGS,
        *(json.dumps(f"a{character}b") for character in " \t\n\r\0\x1b\x7f\x85\xa0{}*?[]\\\"'`<>|;&$"),
        *(json.dumps(f"c{character}") for character in "\n\u2028\u200b\u00ad\ue000\u0378\U0001f600é\u0301"),
    ],
    "occurred_at": [json.dumps(moment) for moment in _MOMENTS],
    "amount": [*_AMOUNTS, *(json.dumps(amount) for amount in _AMOUNTS)],
    "currency": [
        '"EUR"', '"usd"', '"US"', '"USDT"', '"USD\\n"', '"ＵＳＤ"', '"\\u0055SD"', '""', "[]", "840",
    ],
    "kind": [
        '"refund"', '"REFUND"', '"gift"', '""', '"purchase "', "null", "1", '["purchase"]',
        '"\\u0070urchase"',
    ],
    "items": [
        "{}", "null", '"[]"', "[null]", "[[]]", "[{}]", '[{"sku":1,"quantity":1,"unit_price":1}]',
        '[{"sku":"a","quantity":1}]', '[{"sku":"a","quantity":1,"unit_price":1,"x":NaN}]',
        "[0,0,0,0,0,0,0,0]", '[{"sku":"a","quantity":true,"unit_price":1}]',
        '[{"sku":"a","quantity":"1_0","unit_price":1}]',
        '[{"sku":"a","quantity":" 1 ","unit_price":"١"}]',
        '[{"sku":"a","quantity":1e400,"unit_price":1}]',
        '[{"sku":"a","quantity":"NaN","unit_price":"inf"}]',
        '[{"sku":"a","sku":1,"quantity":1,"unit_price":1}]',
        '[{"sku":1,"sku":"a","quantity":1,"unit_price":1}]',
        '{"sku":"a","quantity":1,"unit_price":1}',
    ],
    "channel": [*STRINGS, "1", "[]"],
    "note": SCALARS,
    "amount ": ["1"],
    "Amount": ["1"],
    "": SCALARS,
    "__proto__": SCALARS,
}  # fmt: skip

TOKENS = [
    b"NaN", b"null", b"true", b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u0000",
    b"\\ud800", b"\0", b"\n", b"\xff", b"\xc3", b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\xf4\x90\x80\x80", b"\xc0\x80", b"-", b"+", b".", b"e", b"e400", b"0", b"9" * 30, b" ",
    b"\x0b", b"\xa0", b"/**/", b'"amount":5,', b'"kind":"refund",',
]  # fmt: skip

DAMAGES: list[Callable[[str], str]] = [
    lambda text: f"[{text}]",
    lambda text: f"[{text},{text}]",
    lambda text: text + text,
    lambda text: text + "\n" + text,
    lambda text: text + "\0",
    lambda text: "\0" + text,
    lambda text: text + "}",
    lambda text: text[:-1],
    lambda text: text[:-1] + ",}",
    lambda text: text.replace('"', "'"),
    lambda text: text.replace(":", "=", 1),
    lambda text: text.replace(",", ";", 1),
    lambda text: text.replace(",", ",,", 1),
    lambda text: text.replace(",", "", 1),
    lambda text: "\ufeff" + text,
    json.dumps,
    lambda text: f'{{"transaction":{text}}}',
    lambda text: f"// a comment\n{text}",
    lambda text: text + " // a comment",
    lambda text: "null",
    lambda text: text.replace('"amount"', '"amount\\u0000"'),
    lambda text: text.replace('"customer_id":"', '"customer_id":"\ud800'),
    lambda text: text.replace("{", "{\x0b", 1),
    lambda text: text.replace("{", "{\xa0", 1),
    lambda text: "".join(f"{character}\0" for character in text),  # UTF-16
    lambda text: text.upper(),
    lambda text: f"\t\r\n {text}\n\n",
    lambda text: text.replace("{", '{"":{},', 1),
    lambda text: text.replace("{", '{"a":[],"a":{},', 1),
]

LARGE: list[tuple[str, Callable[[int], str]]] = [
    ("channel", lambda size: '"' + "x" * size + '"'),
    ("note", lambda size: '"' + "\\\\" * (size // 2) + '"'),
    ("note", lambda size: '"' + "é" * (size // 2) + '"'),
    ("note", lambda size: "[" * size + "]" * size),
    ("note", lambda size: "[" * (size % 191) + "]" * (size % 191)),
    ("note", lambda _: "[" * 199 + "]" * 199),
    ("note", lambda _: "[" * 200 + "]" * 200),
    ("note", lambda size: '{"a":' * (size // 6) + "1" + "}" * (size // 6)),
    ("note", lambda size: '"' + "[" * size + '"'),
    ("note", lambda size: "[" + "[]," * (size // 3) + "[]]"),
    ("note", lambda size: "9" * size),
    ("note", lambda size: '"' + '\\"' * (size // 2)),  # a string that does not end
    ("note", lambda size: '"' + "\\ud83d\\ude00" * (size // 12) + '"'),
    ("amount", lambda size: "9" * size),
    ("amount", lambda size: "0." + "1" * size),
    ("amount", lambda size: '"0.' + "3" * size + '"'),
    ("amount", lambda size: '"' + "9" * size + '"'),
    ("amount", lambda size: '"' + "0" * size + '7"'),
    ("amount", lambda size: '"1e-' + "9" * size + '"'),
    ("amount", lambda size: "1" + "0" * size + f"e-{size}"),
    ("items", lambda size: "[" + "0," * (size // 2) + "0]"),
    ("items", lambda size: "[" + "{}," * (size // 3) + "{}]"),
    ("items", lambda size: "[" * size + "]" * size),
    ("items", lambda size: '[{"sku":"a","quantity":' + "9" * size + ',"unit_price":1}]'),
    (
        "items",
        lambda size: "[" + '{"sku":"","quantity":"1","unit_price":"2"},' * (size // 43) + "0]",
    ),
    ("occurred_at", lambda size: '"2025-01-01T00:00:00.' + "1" * size + 'Z"'),
    ("customer_id", lambda size: '"' + "x" * size + '"'),
    ("transaction_id", lambda size: '"' + "日" * (size // 3) + '"'),
    ("kind", lambda size: '"' + "\\u0000" * (size // 6) + '"'),
]
"""Up to 8 MB, or what takes long to read: many digits, many brackets, many faults; by size."""
