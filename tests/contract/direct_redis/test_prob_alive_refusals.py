"""What the script refuses and how it says so, and what it may not touch."""

from __future__ import annotations

import numpy as np
import pytest
import redis
from redis.exceptions import NoPermissionError

from schemas.scorecard import Family
from scoring.bootstrap import bootstrap_scorecard
from scoring.ledger import DayEntry
from tests.support.prob_alive_script import SHARED, TEXT, put, random_params
from tests.support.redis_servers import FUNCTIONS_SINCE, version_of


@pytest.fixture
def known(client: redis.Redis) -> list[str]:
    params = random_params(np.random.default_rng(5), Family.MBGNBD)
    return put(client, "C-42", [DayEntry(10_000, 1, 10_000, 0)], params)


@pytest.mark.parametrize(
    "moment",
    [
        *("", "yesterday", "1998", "19980630", "1998-6-30", "1998-13-01", "1998-00-10"),
        *("1998-02-29", "1900-02-29", "0000-01-01", "1998-06-31", "1998-06-30T", "1998-06-30T9:30"),
        *("1998-06-30T24:00", "1998-06-30T23:60", "1998-06-30T23:59:60", "1998-06-30T23:59:5"),
        *("1998-06-30T12:00ish", "1998-06-30T12:00:00.1234567", "1998-06-30T12:00:00+0100"),
        *("1998-06-30T12:00:00+24:00", "1998-06-30T12:00:00.", "1998-06-30Z", " 1998-06-30"),
        *("1998-06-30\n", "redis.call('FLUSHALL')", "9" * 10_240, "-1", "nan", "\x00"),
    ],
)
def test_moment_that_is_none_is_named_with_an_example(client, ask, known, moment) -> None:
    before = client.dump(known[0]) if moment.isprintable() else None
    with pytest.raises(redis.ResponseError, match=r"is no moment: .*2026-11-21T09:30:00") as told:
        ask(known, moment)
    assert moment[:20].replace("\n", "?").replace("\x00", "?") in str(told.value)
    assert len(str(told.value)) < 250
    assert before is None or client.dump(known[0]) == before


@pytest.mark.parametrize("moment", ["2000-02-29", "1998-06-30T00:00:00-05:30", "2026-11-21 09:30"])
def test_moment_on_the_edge_is_one(ask, known, moment) -> None:
    assert 0 < float(ask(known, moment)) < 1


def test_customer_nobody_knows_is_named(ask, known) -> None:
    with pytest.raises(redis.ResponseError, match='no customer at "customer:nobody"'):
        ask(["customer:nobody", *SHARED], "1998-06-30")


def test_key_that_is_no_hash_is_named(client, ask, known) -> None:
    client.set("scorecard:current", "x")
    with pytest.raises(redis.ResponseError, match=r'cannot read "scorecard:current": .*WRONGTYPE'):
        ask(["scorecard:current", *SHARED], "1998-06-30")


def test_scorecard_that_is_lost_broken_or_of_tomorrow_is_named(client, ask, known) -> None:
    card = bootstrap_scorecard().model_dump_json()
    for body, said in {
        "{": "is not one",
        "[]": "is not one",
        card.replace('"mbgnbd"', '"pareto"'): 'a family not known here: "pareto"',
        card.replace('"alpha_days":', '"alpha_days":-'): 'has alpha_days = "-',
        card.replace('"r":', '"q":'): 'has r = "nil"',
    }.items():
        assert body != card
        client.hset("scorecards", "fitted-C-42", body)
        with pytest.raises(redis.ResponseError, match=f'scorecard "fitted-C-42".*{said}'):
            ask(known, "1998-06-30")
    client.delete("scorecards")
    with pytest.raises(redis.ResponseError, match='"fitted-C-42" of "customer:C-42" is not in'):
        ask(known, "1998-06-30")


@pytest.mark.parametrize("ledger", [b"", b"\x05", b"\x84", b"\x03\x80\x80\x80", b"\x02\x02\x02"])
def test_ledger_cut_short_is_named_with_the_way_to_mend_it(client, ask, known, ledger) -> None:
    client.hset("customer:C-42", "ledger", ledger)
    with pytest.raises(redis.ResponseError, match=r'"customer:C-42".*everscore rebuild'):
        ask(known, "1998-06-30")


@pytest.mark.parametrize(
    ("keys", "args", "said"),
    [
        ([], ("1998-06-30",), "found 0"),
        (["customer:C-42", "scorecards"], ("1998-06-30",), "found 2"),
        (["customer:C-42", *SHARED], (), "needs 1 argument.*found 0"),
        (["customer:C-42", *SHARED], ("1998-06-30", "x"), "needs 1 argument.*found 2"),
        (["customer:C-42"], ("1998-06-30",), "needs 2 arguments.*found 1"),
    ],
)
def test_keys_or_arguments_too_few_or_too_many_are_counted(ask, known, keys, args, said) -> None:
    with pytest.raises(redis.ResponseError, match=said):
        ask(keys, *args)


def test_customer_alone_is_scored_by_the_scorecard_that_is_handed_over(client, ask, known) -> None:
    """On Redis Cluster, where the scorecards are on another node."""
    card = client.hget("scorecards", "fitted-C-42")
    assert ask(known[:1], "1998-06-30", card) == ask(known, "1998-06-30")
    with pytest.raises(redis.ResponseError, match=r"time zone here is .*not given"):
        ask(known[:1], "1998-06-30T12:00:00Z", card)


def test_reading_the_declared_keys_is_all_it_needs_to_be_allowed(
    server, client, call, known
) -> None:
    allowed = [*(f"~{key}" for key in known), f"+{call[0].lower()}", "+hget", "+hmget"]
    client.execute_command("ACL", "SETUSER", "phone", "reset", "on", ">hush", *allowed)
    with redis.Redis.from_url(
        server.url, username="phone", password="hush", decode_responses=True
    ) as phone:
        assert 0 < float(phone.execute_command(*call, 3, *known, "1998-06-30")) < 1
        with pytest.raises(NoPermissionError):
            phone.hget("customer:other", "segment")


def test_redis_that_can_holds_it_to_reading(client, known) -> None:
    sha = client.script_load(TEXT)
    held = version_of(client) >= FUNCTIONS_SINCE
    command = "EVALSHA_RO" if held else "EVALSHA"
    assert 0 < float(client.execute_command(command, sha, 3, *known, "1998-06-30")) < 1
