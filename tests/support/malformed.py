"""Payloads as nobody should send them, and good ones among them; each from a seed and its number.

Grammar-based: a valid skeleton with hostile values of every field, and structural damage. Mutated: a
valid record with its bytes flipped, cut, doubled or spliced. What becomes of each says
`tests.support.transaction_oracle`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

from tests.support.hostile_values import DAMAGES, HOSTILE, LARGE, SCALARS, STRINGS, TOKENS

NOW_MS = 1_767_225_600_000  # 2026-01-01: when all this arrives
CUSTOMERS = 1_000
_BACK_MAX = 200  # how many numbers back the record lies that is sent again or mutated
_DAYS = 1_000  # of history before NOW_MS

Fields = dict[str, str]
"""Names to values as JSON text, in order."""


class Payload(NamedTuple):
    """One record's value and timestamp.

    Attributes
    ----------
    family : str
        How it was made.
    """

    family: str
    value: bytes | None
    timestamp_ms: int = NOW_MS


def payload(seed: int, number: int) -> Payload:
    """The payload of a number; the same always."""
    random = Random(f"{seed}:{number}")
    family = random.choices(list(FAMILIES), [weight for weight, _ in FAMILIES.values()])[0]
    value = FAMILIES[family][1](random, seed, number)
    return Payload(family, value, _timestamp(random))


def transaction(seed: int, number: int) -> Fields:
    """A valid transaction, in one of the ways in which producers write them."""
    random = Random(f"{seed}:{number}:transaction")
    moment = datetime.fromtimestamp(NOW_MS / 1000, UTC) - timedelta(
        microseconds=random.randrange(_DAYS * 86_400_000_000)
    )
    fields = {
        "transaction_id": json.dumps(f"t-{seed}-{number}"),
        "customer_id": json.dumps(f"c{random.randrange(CUSTOMERS)}"),
        "occurred_at": json.dumps(_written(random, moment)),
        "amount": _amount(random),
    }
    if random.random() < 0.2:
        fields["currency"] = random.choice(['"USD"', '"USD"', "null"])
    if random.random() < 0.2:
        fields["kind"] = random.choice(['"purchase"', '"refund"'])
    if random.random() < 0.2:
        fields["items"] = _items(random)
    if random.random() < 0.2:
        fields["channel"] = random.choice(['"web"', "null", '"\\u00e9\\n"', '"日本"', '""'])
    if random.random() < 0.1:
        fields[f"note{random.randrange(9)}"] = _anything(random)
    return _shuffled(random, fields) if random.random() < 0.2 else fields


def _written(random: Random, moment: datetime) -> str:
    zone = random.choice(["Z", "z", "+00:00", "-00:00", "+05:30", "-0800", "+14:00", "-23:59"])
    fraction = random.choice(
        ["", "", ".5", f".{random.randrange(10**6):06d}", ".0000005", ".1234567"]
    )
    return f"{moment:%Y-%m-%d}{random.choice('TTTTt ')}{moment:%H:%M:%S}{fraction}{zone}"


def _amount(random: Random) -> str:
    units = random.choice([10**4, 10**6, 10**6, 10**8, 10**15])
    amount = Decimal(random.randrange(-units // 9, units)).scaleb(-4)
    if random.random() < 0.5:
        amount = amount.quantize(Decimal("0.01"))
    text = format(amount, "f")
    if random.random() < 0.1:  # finer than we count, often a tie
        text += "" if "." not in text else random.choice(["5", "50", "49999", "5" + "0" * 30 + "1"])
    if random.random() < 0.05:
        text = random.choice(["0", "-0", "0.0", "-0.0", "1e3", "2.5E-3", "1e11", "-1e11", "5e-5"])
    return json.dumps(text) if random.random() < 0.3 else text


def _items(random: Random) -> str:
    def item() -> str:
        fields = {
            "sku": json.dumps(f"s{random.randrange(99)}"),
            "quantity": random.choice(["1", "2", "1.5", '"3"', "-1", "0"]),
            "unit_price": random.choice(["9.99", "0", '"19.90"', "1e2"]),
        }
        return _object(fields)

    return "[" + ",".join(item() for _ in range(random.choice([0, 1, 1, 2, 5, 80]))) + "]"


def _anything(random: Random, depth: int = 0) -> str:
    kind = random.randrange(8 if depth < 3 else 5)
    if kind < 5:
        return random.choice(SCALARS)
    inner = [_anything(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 5:
        return "[" + ",".join(inner) + "]"
    return "{" + ",".join(f"{random.choice(STRINGS)}:{value}" for value in inner) + "}"


def _object(fields: Fields) -> str:
    return "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"


def _shuffled(random: Random, fields: Fields) -> Fields:
    return dict(random.sample(list(fields.items()), len(fields)))


def _encoded(random: Random, fields: Fields) -> bytes:
    if random.random() < 0.1:
        space = random.choice([" ", "\n", "\r\n\t", "  "])
        colon, comma = f"{space}:{space}", f",{space}"
        inner = comma.join(f'"{name}"{colon}{text}' for name, text in fields.items())
        return f"{space}{{{space}{inner}{space}}}{space}".encode()
    if random.random() < 0.03:  # a name as some serialisers write it
        return _object(fields).replace('"amount"', '"\\u0061mount"').encode()
    return _object(fields).encode()


def _valid(random: Random, seed: int, number: int) -> bytes:
    return _encoded(random, transaction(seed, number))


def _again(random: Random, seed: int, number: int) -> bytes:
    """A transaction that was sent before, or will be."""
    return _encoded(random, transaction(seed, number - random.randrange(_BACK_MAX)))


def _hostile(random: Random, seed: int, number: int) -> bytes:
    """One field or two hold what they should not."""
    fields = transaction(seed, number)
    for _ in range(random.choice([1, 1, 1, 2])):
        name = random.choice(list(HOSTILE))
        fields[name] = random.choice(HOSTILE[name] if random.random() < 0.6 else SCALARS)
    return _encoded(random, fields)


def _hostile_item(random: Random, seed: int, number: int) -> bytes:
    fields = transaction(seed, number)
    item = {"sku": '"a"', "quantity": "1", "unit_price": "2"}
    item[random.choice(list(item))] = random.choice(SCALARS + HOSTILE["amount"])
    if random.random() < 0.2:
        del item[random.choice(list(item))]
    fields["items"] = f"[{_object(item)}]"
    return _encoded(random, fields)


def _incomplete(random: Random, seed: int, number: int) -> bytes:
    fields = transaction(seed, number)
    for name in random.sample(list(fields), random.choice([1, 1, 2, len(fields)])):
        del fields[name]
    return _encoded(random, fields)


def _doubled_key(random: Random, seed: int, number: int) -> bytes:
    """A name stands there twice: the last value holds."""
    fields = transaction(seed, number)
    name = random.choice(list(fields))
    other = random.choice([*HOSTILE.get(name, []), *SCALARS, *transaction(seed, -1).values()])
    pairs = [(name, other), *fields.items()]
    if random.random() < 0.5:
        pairs = pairs[1:] + pairs[:1]
    return ("{" + ",".join(f'"{key}":{text}' for key, text in pairs) + "}").encode()


def _damaged(random: Random, seed: int, number: int) -> bytes:
    """JSON that is none, or not of an object."""
    text = _object(transaction(seed, number))
    return random.choice(DAMAGES)(text).encode("utf-8", "surrogatepass")


def _mutated(random: Random, seed: int, number: int) -> bytes:
    value = bytearray(_again(random, seed, number))
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        _mutate(random, value, seed, number)
    return bytes(value)


def _mutate(random: Random, value: bytearray, seed: int, number: int) -> None:
    at = random.randrange(len(value) + 1)
    end = min(at + random.choice([1, 1, 2, 5, 40]), len(value))
    match random.randrange(7):
        case 0 if at < len(value):
            value[at] ^= 1 << random.randrange(8)
        case 1 if at < len(value):
            value[at] = random.randrange(256)
        case 2:
            value[at:at] = random.choice(TOKENS)
        case 3:
            del value[at:end]
        case 4:
            value[at:at] = value[at:end] * random.choice([1, 1, 2, 50])
        case 5:
            del value[at:]
        case _:
            other = _object(transaction(seed, number - random.randrange(_BACK_MAX))).encode()
            value[at:] = other[random.randrange(len(other)) :]


def _noise(random: Random, seed: int, number: int) -> bytes | None:
    if random.random() < 0.2:
        return random.choice([None, b"", b"\0", b"{}", b"[]", b"null", b"1", b'""', b"\xff" * 9])
    return random.randbytes(random.randrange(64))


def _large(random: Random, seed: int, number: int) -> bytes:
    """Up to 8 MB, or what takes long to read: many digits, many brackets, many faults."""
    fields = transaction(seed, number)
    name, text_of = random.choice(LARGE)
    fields[name] = text_of(random.choice([3_000, 30_000, 300_000, 1_000_000, 8_000_000]))
    return _object(fields).encode()


def _timestamp(random: Random) -> int:
    """Mostly when it arrives; now and then what is no time in milliseconds."""
    if random.random() > 0.02:
        return NOW_MS
    return random.choice(
        [
            *(-1, -2, -(2**63), 0, 1, NOW_MS // 1000, NOW_MS * 1000, NOW_MS * 1_000_000),
            *(253_402_300_799_999, 253_402_300_800_000, 1_500_000_000_000_000, 2**62, 2**63 - 1),
        ]
    )


FAMILIES: dict[str, tuple[float, Callable[[Random, int, int], bytes | None]]] = {
    "valid": (30, _valid),
    "again": (5, _again),
    "hostile": (20, _hostile),
    "hostile item": (4, _hostile_item),
    "incomplete": (3, _incomplete),
    "doubled key": (5, _doubled_key),
    "damaged": (6, _damaged),
    "mutated": (24, _mutated),
    "noise": (2.9, _noise),
    "large": (0.1, _large),
}
