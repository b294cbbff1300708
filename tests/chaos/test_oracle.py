"""The oracle agrees with the engine where nothing went wrong, and finds each thing that did."""

from __future__ import annotations

import ast
import asyncio
import copy
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops import oracle
from ops.oracle.fields import micros
from ops.oracle.history import Read
from ops.oracle.model import (
    Border,
    Card,
    Habits,
    expected_purchases,
    moment_of,
    next_border,
    prob_alive,
)
from scoring.bootstrap import bootstrap_scorecard
from state.checkpoints import checkpoint_fields
from streams.settings import Settings
from tests.chaos.evidence import LogError, read_log
from tests.chaos.oracle import Evidence, Letter, Told, Verdict, judge
from tests.chaos.transactions import (
    Outgoing,
    Transaction,
    disordered,
    duplicated,
    outgoing,
    plain,
    poisoned,
)
from tests.support.purchases import LogRecord, Run

HERE = Path(__file__).parent
CARD = json.loads(bootstrap_scorecard().model_dump_json())
COUNT, CUSTOMERS = 1_500, 75
OF_THE_ORACLE = (
    HERE / "oracle.py",
    HERE / "transactions.py",
    *sorted(path for path in Path(oracle.__file__).parent.glob("*.py") if path.stem != "__init__"),
)


async def evidence_of(sent: list[Outgoing]) -> Evidence:
    """What the production engine leaves behind, over the store in memory."""
    run = await Run(1, Settings(first_fit_customers=10**9)).start()
    records = [LogRecord(offset, item.value, item.key) for offset, item in enumerate(sent)]
    for start in range(0, len(records), 333):
        await run.process(0, records[start : start + 333])
    await run.sweep()
    flat = checkpoint_fields(run.engine.owned[0].checkpoint)
    customers = {
        customer: {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in fields.items()
            if name != "ledger"
        }
        for customer, fields in run.hashes().items()
    }
    told, letters = [], []
    for message in run.published:
        headers = {name: (value or b"").decode() for name, value in message.headers}
        if message.topic == run.settings.changes_topic:
            key = (message.key or b"").decode()
            body = message.value or b""
            told.append(Told(key, headers["ce_id"], headers["ce_type"], body))
        elif message.topic == run.settings.dead_letter_topic:
            offset = int(headers["__everscore.error.offset"])
            letters.append(Letter(0, offset, message.value))
    reviews = {customer: micros(f["next_review_at"]) for customer, f in customers.items()}
    return Evidence(
        card=CARD,
        cards={"bootstrap-0": copy.deepcopy(CARD)},
        log={0: [Read(offset, item.transaction) for offset, item in enumerate(sent)]},
        topic=run.settings.transactions_topic,
        checkpoints={0: dict(zip(flat[::2], flat[1::2], strict=True))},
        customers=customers,
        due={c: float("inf") if at is None else at / 1e6 for c, at in reviews.items()},
        told=told,
        letters=letters,
        poison={(0, n): item.value for n, item in enumerate(sent) if item.transaction is None},
    )


@pytest.fixture(scope="module")
def sound() -> Evidence:
    return asyncio.run(evidence_of(poisoned(7, COUNT, CUSTOMERS)))


@pytest.mark.parametrize("made", [plain, duplicated, disordered, poisoned])
@pytest.mark.parametrize("seed", [1, 2])
async def test_undisturbed_engine_is_found_without_fault(
    made: Callable[[int, int, int], list[Outgoing]], seed: int
) -> None:
    verdict = judge(await evidence_of(made(seed, COUNT, CUSTOMERS)))
    assert verdict.said == []
    assert verdict.clean
    assert verdict.changes > verdict.customers > CUSTOMERS / 2


def repeat_customer(evidence: Evidence, name: str = "next_lifecycle") -> str:
    """Somebody who came back, with something in a field."""
    return next(
        customer
        for customer, fields in sorted(evidence.customers.items())
        if (fields[name] or name == "next_segment") and int(fields["frequency"]) > 2
    )


def edited(text: str) -> str:
    """Another value of the same kind."""
    if text and text[0].isdigit():
        return text[:-2] + ("1" if text[-2] != "1" else "2") + text[-1] if len(text) > 9 else "9999"
    return "Somebody"


FIELDS = (
    "frequency",
    "t_x_days",
    "first_purchase_at",
    "last_purchase_at",
    "monetary_value",
    "monetary_total",
    "refund_total",
    "prob_alive",
    "prob_alive_at",
    "expected_purchases_30d",
    "segment",
    "segment_since",
    "lifecycle",
    "rfm",
    "next_review_at",
    "next_segment",
    "next_lifecycle",
    "sequence",
    "scorecard",
    "source",
)


@pytest.mark.parametrize("name", FIELDS)
def test_edited_field_is_found_by_customer_and_name(sound: Evidence, name: str) -> None:
    evidence = copy.deepcopy(sound)
    customer = repeat_customer(evidence, name)
    fields = evidence.customers[customer]
    assert isinstance(fields, dict)
    was = fields[name]
    if name in {"prob_alive", "expected_purchases_30d", "monetary_value"}:
        fields[name] = repr(float(was) + 1e-3)
    elif name.endswith(("_at", "_since")):
        fields[name] = was.replace(was[:4], str(int(was[:4]) + 1))
    else:
        fields[name] = edited(was)
    assert fields[name] != was
    verdict = judge(evidence)
    assert verdict.mismatches >= 1
    assert any(customer in line and name in line for line in verdict.said), verdict.said


def drop_customer(evidence: Evidence) -> None:
    del evidence.customers[repeat_customer(evidence)]  # type: ignore[attr-defined]


def invent_customer(evidence: Evidence) -> None:
    evidence.customers["nobody"] = {}  # type: ignore[index]


def lose_one(evidence: Evidence) -> None:
    held = evidence.checkpoints[0]
    held["applied"] = str(int(held["applied"]) - 1)  # type: ignore[index]


def count_one_twice(evidence: Evidence) -> None:
    held = evidence.checkpoints[0]
    held["applied"] = str(int(held["applied"]) + 1)  # type: ignore[index]


def forget_checkpoint(evidence: Evidence) -> None:
    evidence.checkpoints[0].clear()  # type: ignore[attr-defined]


def drop_change(evidence: Evidence) -> None:
    del evidence.told[len(evidence.told) // 2]


def drop_last_change(evidence: Evidence) -> None:
    del evidence.told[-1]


def two_bodies(evidence: Evidence) -> None:
    told = evidence.told[5]
    body = json.dumps(json.loads(told.body) | {"prob_alive": 0.123}).encode()
    evidence.told.append(replace(told, body=body))


def another_change(evidence: Evidence) -> None:
    told = evidence.told[5]
    evidence.told.append(replace(told, change_id="another"))


def altered_change(evidence: Evidence) -> None:
    told = evidence.told[5]
    body = json.dumps(json.loads(told.body) | {"cause": "refund"}).encode()
    evidence.told[5] = replace(told, body=body)


def later_change_first(evidence: Evidence) -> None:
    customer = repeat_customer(evidence)
    first, second = [n for n, told in enumerate(evidence.told) if told.customer_id == customer][:2]
    told = evidence.told
    told[first], told[second] = told[second], told[first]


def drop_letter(evidence: Evidence) -> None:
    del evidence.letters[3]


def invent_letter(evidence: Evidence) -> None:
    good = next(read.offset for read in evidence.log[0] if read.transaction is not None)
    evidence.letters.append(Letter(0, good, b""))


def alter_letter(evidence: Evidence) -> None:
    evidence.letters[3] = replace(evidence.letters[3], value=b"other")


def forget_scorecard(evidence: Evidence) -> None:
    evidence.cards.clear()  # type: ignore[attr-defined]


def alter_scorecard(evidence: Evidence) -> None:
    evidence.cards["bootstrap-0"]["hysteresis"] = 0.5


def drop_due_time(evidence: Evidence) -> None:
    del evidence.due[repeat_customer(evidence)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (drop_customer, "lost"),
        (invent_customer, "mismatches"),
        (lose_one, "lost"),
        (count_one_twice, "double_counted"),
        (forget_checkpoint, "lost"),
        (drop_change, "gaps"),
        (drop_last_change, "gaps"),
        (two_bodies, "two_bodies"),
        (another_change, "mismatches"),
        (altered_change, "mismatches"),
        (later_change_first, "mismatches"),
        (drop_letter, "lost"),
        (invent_letter, "mismatches"),
        (alter_letter, "mismatches"),
        (drop_due_time, "mismatches"),
        (forget_scorecard, "mismatches"),
        (alter_scorecard, "mismatches"),
    ],
)
def test_damage_is_counted_as_what_it_is(
    sound: Evidence, damage: Callable[[Evidence], None], kind: str
) -> None:
    evidence = copy.deepcopy(sound)
    damage(evidence)
    verdict = judge(evidence)
    assert not verdict.clean
    assert getattr(verdict, kind) >= 1, verdict.said


def test_change_told_twice_alike_is_no_fault(sound: Evidence) -> None:
    evidence = copy.deepcopy(sound)
    evidence.told.extend(replace(told, body=bytes(bytearray(told.body))) for told in sound.told[:9])
    evidence.letters.append(evidence.letters[0])
    verdict = judge(evidence)
    assert verdict.clean
    assert verdict.told_again == 10


async def test_customer_brought_back_onto_a_border_is_left_to_verify_and_no_other() -> None:
    day_us = 86_400_000_000

    def bought(customer: str, day: int, *, back: bool = False) -> Outgoing:
        identity = f"{customer}-{day}-{back}"
        moment = (19_700 + day) * day_us + 1
        return outgoing(Transaction(identity, customer, moment, 10_000, back))

    came = [bought("c", day) for day in (0, 10, 20, 30, 40)]
    fell_silent = [*came, bought("other", 130)]
    late = bought("c", 100)
    undone = [*fell_silent, late, bought("c", 100, back=True)]
    for sent, undecided in ((fell_silent, 0), ([*fell_silent, late], 0), (undone, 1)):
        verdict = judge(await evidence_of(sent))
        assert verdict.said == []
        assert verdict.undecided == undecided


def test_words_are_kept_within_bounds_and_counts_are_not() -> None:
    verdict = Verdict()
    for number in range(1_000):
        verdict.note("lost", str(number))
    assert verdict.lost == 1_000
    assert len(verdict.said) == 40


def test_published_parameters_give_the_published_probabilities() -> None:
    parameters = {"family": "mbgnbd", "r": 0.243, "alpha_days": 30.898, "a": 0.793, "b": 2.426}
    card = Card.of(CARD | {"alive": parameters})
    day = 86_400_000_000
    assert prob_alive(card, Habits(0, 0, 0, 0.0), 272 * day) == pytest.approx(0.6373, abs=5e-5)
    assert prob_alive(card, Habits(2, 0, 213, 0.0), 272 * day) == pytest.approx(0.7744, abs=5e-5)


def test_expected_purchases_are_those_that_a_simulation_of_many_customers_buys() -> None:
    # Without dropout (a → 0) the model is a Poisson process: rate (r + x) / (alpha + T).
    card = Card.of(CARD | {"alive": CARD["alive"] | {"a": 1e-3}})
    habits = Habits(4, 0, 90, 0.0)
    found = expected_purchases(card, habits, 100 * 86_400_000_000)
    rate = (card.r + 4) / (card.alpha_days + 100)
    assert found == pytest.approx(30 * rate, rel=5e-3)


def test_moment_of_a_border_is_the_first_microsecond_at_which_it_is_reached() -> None:
    card, habits = Card.of(CARD), Habits(3, 0, 50, 10.0)
    border = next_border(card, habits, 0, 0)
    assert border is not None
    assert border == Border(0.5, None, 1)
    at = moment_of(card, habits, border, 50 * 86_400_000_000)
    assert at is not None
    assert prob_alive(card, habits, at) <= 0.5 < prob_alive(card, habits, at - 1_000)


def test_family_that_the_oracle_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="bgnbd"):
        Card.of(CARD | {"alive": CARD["alive"] | {"family": "bgnbd"}})


def test_log_without_a_sent_record_or_with_a_foreign_one_is_refused() -> None:
    sent = plain(1, 10, 5)
    records = [SimpleNamespace(value=s.value, partition=0, offset=n) for n, s in enumerate(sent)]
    log, poison = read_log(sent, records)
    assert [read.transaction for read in log[0]] == [item.transaction for item in sent]
    assert poison == {}
    with pytest.raises(LogError, match="lost 1 acknowledged"):
        read_log(sent, records[:-1])
    with pytest.raises(LogError, match="nobody sent"):
        read_log(sent[1:], records)


def test_oracle_imports_nothing_of_production() -> None:
    assert len(OF_THE_ORACLE) == 6
    names = {f"{path.parent.parent.name}.{path.parent.name}.{path.stem}" for path in OF_THE_ORACLE}
    for path in OF_THE_ORACLE:
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
        assert imported, path
        others = imported - names
        assert {module.split(".")[0] for module in others} <= sys.stdlib_module_names, path
