"""Every field of a customer's hash, and every change, against what the walk has come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.oracle.history import LIFECYCLES, Change, Customer
from ops.oracle.model import Card, Habits, buys_if_alive, expected_purchases, moment_of, rfm

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A crossing is found by bisection here and by a closed form there: the last bits of floats differ.
MOMENT_US_MAX = 1_000
ALIVE_MAX = 1e-9
_EXPECTED_MAX = 1e-6  # relative, or of one purchase: here it is integrated numerically
_ROUNDED_MAX = 1e-4  # four decimals are written


def field_differences(
    card: Card, customer: Customer, fields: Mapping[str, str], topic: str
) -> Iterator[str]:
    """What of a customer's hash is not as the walk says."""
    habits, now = customer.habits, customer.as_of_us
    if now is None:
        yield "it is there, and nothing ever happened to it"
        return
    crossing = None
    if customer.border is not None and habits is not None:
        crossing = moment_of(card, habits, customer.border, now)
    border = None if crossing is None else customer.border

    def name(index: int | None) -> str:
        return "" if index is None else card.segments[index]

    def phase(index: int | None) -> str:
        return "" if index is None else LIFECYCLES[index]

    exact = {
        "frequency": str(0 if habits is None else habits.frequency),
        "t_x_days": str(0 if habits is None else habits.t_x_days),
        "monetary_total": money(customer.total("bought")),
        "refund_total": money(customer.total("returned")),
        "segment": name(customer.segment),
        "lifecycle": phase(customer.lifecycle),
        "next_segment": name(None if border is None else border.segment),
        "next_lifecycle": phase(None if border is None else border.lifecycle),
        "sequence": str(len(customer.changes)),
        "scorecard": card.version,
        "source": f"{topic}:{customer.offset}",
    }
    if customer.undecided:
        exact["sequence"] = fields.get("sequence", "")
    for field_name, expected in exact.items():
        if fields.get(field_name) != expected:
            yield f"{field_name} is {fields.get(field_name)!r}, not {expected!r}"
    moments = {
        "first_purchase_at": (customer.first_us, 0),
        "last_purchase_at": (customer.last_us, 0),
        "prob_alive_at": (customer.as_of_us, MOMENT_US_MAX),
        "segment_since": (customer.segment_since_us, MOMENT_US_MAX),
        "next_review_at": (crossing, MOMENT_US_MAX),
    }
    for field_name, (moment, tolerance) in moments.items():
        if not same_moment(micros(fields.get(field_name, "")), moment, tolerance):
            yield f"{field_name} is {fields.get(field_name)!r}, not {moment} µs"
    if habits is None:
        for field_name in ("prob_alive", "value"):
            if fields.get(field_name) != "":
                yield f"{field_name} is {fields.get(field_name)!r}, though nothing is left to score"
        return
    yield from _score_differences(card, habits, now, customer.alive, fields)


def _score_differences(
    card: Card, habits: Habits, now: int, p_alive: float | None, fields: Mapping[str, str]
) -> Iterator[str]:
    alive = float("nan") if p_alive is None else p_alive
    wanted = expected_purchases(card, habits, now)
    numbers = {
        "monetary_value": (habits.monetary_value, 1e-9 * max(1.0, abs(habits.monetary_value))),
        "prob_alive": (alive, ALIVE_MAX),
        "expected_purchases_30d": (wanted, _EXPECTED_MAX * max(1.0, wanted)),
    }
    for field_name, (number, within) in numbers.items():
        if not abs(float(fields.get(field_name) or "nan") - number) <= within:
            yield f"{field_name} is {fields.get(field_name)!r}, not {number!r}"
    # No spend model: the oracle's scorecard was not learnt.
    value = [alive * buys_if_alive(card, habits, now), expected_purchases(card, habits, now, 90.0)]
    if not _close(fields.get("value", "").split(), value):
        yield f"value is {fields.get('value')!r}, not {value!r}"
    if fields.get("rfm") != rfm(card, habits, now):
        yield f"rfm is {fields.get('rfm')!r}, not {rfm(card, habits, now)!r}"


def change_differences(
    expected: Change, change_type: str, body: Mapping[str, Any]
) -> Iterator[str]:
    """What of a change's type and body is not as the walk says."""
    if change_type != f"everscore.{expected.kind}.changed.v1":
        yield f"type is {change_type}, not {expected.kind}"
    for name in ("previous", "current", "cause"):
        if body[name] != getattr(expected, name):
            yield f"{name} is {body[name]!r}, not {getattr(expected, name)!r}"
    if not same_moment(micros(body["occurred_at"]), expected.occurred_us, MOMENT_US_MAX):
        yield f"occurred_at is {body['occurred_at']}, not {expected.occurred_us} µs"
    if not abs(body["prob_alive"] - (expected.alive or 0.0)) <= ALIVE_MAX:
        yield f"prob_alive is {body['prob_alive']}, not {expected.alive}"


def _close(told: Sequence[str], numbers: Sequence[float]) -> bool:
    return len(told) == len(numbers) and all(
        abs(float(one) - number) <= _ROUNDED_MAX for one, number in zip(told, numbers, strict=True)
    )


def same_moment(found: int | None, expected: int | None, tolerance: int) -> bool:
    """Whether two moments are the same but for so many microseconds; None is no moment."""
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= tolerance


def micros(text: str) -> int | None:
    """Microseconds since 1970 UTC of RFC 3339 text; None for none.

    >>> micros("1970-01-01T00:00:01.5Z")
    1500000
    """
    if not text:
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment - _EPOCH) // timedelta(microseconds=1)


def money(units: int) -> str:
    """Major units with four decimals.

    >>> money(1_234_500)
    '123.4500'
    """
    return f"{units // 10_000}.{units % 10_000:04d}"
