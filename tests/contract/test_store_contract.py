"""What every store must do, asked of the in-memory twin and of a real Redis alike."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import FencedError, RebuildingError
from scoring.states import NEVER_US, UNKNOWN_US
from state.fields import FIELDS, SCORE_FIELDS
from state.keys import Keys
from state.memory_store import MemoryStore
from state.store import Checkpoint, Glimpse, Gone, SliceCommit, Store, Tombstone
from streams.homes import home_partition
from streams.settings import Settings
from tests.support.access import open_store
from tests.support.purchases import Run, cdnow_of

TOPIC, REKEYED = "transactions", "transactions.rekeyed"
ALL_BYTES = bytes(range(256))
NOON_US = 867_715_200_123_456  # 1997-07-01, to the microsecond


def row(text: str = "x", ledger: bytes = ALL_BYTES) -> tuple[str | bytes, ...]:
    """A customer's values, each naming its field."""
    return (*(f"{name} {text}" for name in FIELDS[:-1]), ledger)


def fields(values: tuple[str | bytes, ...]) -> dict[str, bytes]:
    """The hash as it must come back."""
    texts = (value if isinstance(value, bytes) else value.encode() for value in values)
    return dict(zip(FIELDS, texts, strict=True))


def commit_of(before: Checkpoint, *, partition=0, due=None, outbox=b"", text="x", **after):
    """A slice of the customers in `due`, one record further in the log."""
    due = due or {}
    moved = before.moved(TOPIC, before.next_offsets.get(TOPIC, 0) + 1)
    moved = replace(moved, commits=before.commits + 1)
    return SliceCommit(
        partition=partition,
        before=before,
        after=replace(moved, **after),
        customer_ids=list(due),
        rows=[row(f"{customer_id} {text}") for customer_id in due],
        due_at=list(due.values()),
        outbox=outbox,
    )


async def owned(store: Store, partition: int = 0, owner: str = "w") -> Checkpoint:
    return await store.acquire(partition, owner)


async def write(store: Store, due: dict[str, float], **more) -> Checkpoint:
    """Commit customers under a new epoch."""
    partition = more.pop("partition", 0)
    before = await owned(store, partition)
    await store.commit_slice(commit_of(before, partition=partition, due=due, **more))
    return await store.checkpoint(partition)


async def all_customers(store: Store, partition: int = 0, count: int = 100) -> list[str]:
    found: list[str] = []
    cursor = 0
    while True:
        cursor, page = await store.customers(partition, cursor, count)
        found += page
        if not cursor:
            return found


async def everything(store: Store, ids, partition: int = 0):
    """All that can be seen of a partition; entry ids are the store's own business."""
    return (
        await store.checkpoint(partition),
        await store.load_many(partition, ids),
        await store.due(partition, NEVER_US - 1, 100_000),
        await store.next_due_us(partition),
        sorted(set(await all_customers(store, partition))),
        [packed for _, packed in await store.outbox(partition, "", 100_000)],
    )


async def test_fresh_store_is_the_beginning_of_everything(store):
    await store.check()
    assert await store.checkpoint(0) == Checkpoint()
    assert await store.load_many(0, ["nobody"]) == [None]
    assert await store.load_many(0, []) == []
    assert await store.due(0, NEVER_US - 1, 10) == []
    assert await store.next_due_us(0) == NEVER_US
    assert await store.customers(0, 0, 10) == (0, [])
    assert await store.outbox(0, "", 10) == []
    assert await store.installation() == {}
    assert await store.scorecards() == {}
    assert await store.current_scorecard() is None
    assert await store.learning() is None


async def test_acquire_raises_the_epoch_and_names_the_owner_and_keeps_the_rest(store):
    first = await store.acquire(0, "a", "token of a")
    assert (first.epoch, first.owner, first.token) == (1, "a", "token of a")
    await store.commit_slice(commit_of(first, applied=5, clock_us=NOON_US))
    second = await store.acquire(0, "b", "token of b")
    assert (second.epoch, second.owner, second.token) == (2, "b", "token of b")
    assert (second.applied, second.clock_us, dict(second.next_offsets)) == (5, NOON_US, {TOPIC: 1})
    assert second == await store.checkpoint(0)
    assert await store.checkpoint(1) == Checkpoint()


async def test_former_owner_is_fenced_and_the_new_one_goes_on(store):
    former = await store.acquire(0, "former")
    current = await store.acquire(0, "current")
    seen = await everything(store, ["c"])
    with pytest.raises(FencedError, match=r"partition 0 is at epoch 2.*'current'.*not at epoch 1"):
        await store.commit_slice(commit_of(former, due={"c": 1.0}, outbox=b"o"))
    assert await everything(store, ["c"]) == seen
    await store.commit_slice(commit_of(current, due={"c": 1.0}, outbox=b"o"))
    assert (await store.checkpoint(0)).owner == "current"


async def test_reserved_partition_is_acquired_by_nobody_else_until_it_is_let_go(store):
    await store.acquire(0, "worker")
    assert await store.reserve(0, "rebuild a", 60.0) == "rebuild a"
    assert await store.reserve(0, "rebuild b", 60.0) == "rebuild a"
    assert await store.reserve(0, "rebuild b", 0.0) == "rebuild a"
    seen = await store.checkpoint(0)
    with pytest.raises(RebuildingError, match="partition 0 is reserved for 'rebuild a'"):
        await store.acquire(0, "worker")
    assert await store.checkpoint(0) == seen
    assert (await store.acquire(1, "worker")).epoch == 1
    assert (await store.acquire(0, "rebuild a")).epoch == 2
    assert await store.reserve(0, "rebuild a", 0.0) == ""
    assert (await store.acquire(0, "worker")).epoch == 3


async def test_reservation_expires_when_nobody_renews_it(store):
    await store.reserve(0, "rebuild a", 0.05)
    await asyncio.sleep(0.1)
    assert await store.reserve(0, "rebuild b", 60.0) == "rebuild b"


async def test_customers_are_forgotten_by_their_owner_and_by_nobody_else(store):
    former = await write(store, {"a": 1.0, "b": 2.0, "c": math.inf})
    seen = await everything(store, ["a", "b", "c"])
    current = await store.acquire(0, "other", "token")
    with pytest.raises(FencedError, match="partition 0 belongs to 'other' since epoch 2"):
        await store.forget(0, former, ["a"])
    assert (await everything(store, ["a", "b", "c"]))[1:] == seen[1:]
    await store.forget(0, current, ["a", "c", "never known"])
    assert await all_customers(store) == ["b"]
    assert await store.load_many(0, ["a", "b", "c"]) == [None, fields(row("b x")), None]
    assert await store.next_due_us(0) == 2_000_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"epoch": 0},
        {"epoch": 3},
        {"token": "another acquisition's"},
        {"commits": 0},
        {"commits": 2},
        {"next_offsets": {TOPIC: 0}},
        {"next_offsets": {TOPIC: 2}},
        {"next_offsets": {TOPIC: 1, REKEYED: 1}},
        {"next_offsets": {REKEYED: 1}},
    ],
)
async def test_commit_from_another_place_is_refused_and_writes_nothing_at_all(store, wrong):
    held = await write(store, {"a": 5.0, "b": math.inf}, outbox=b"first")
    seen = await everything(store, ["a", "b", "c"])
    refused = commit_of(
        replace(held, **wrong),
        due={"a": 1.0, "c": 2.0},
        outbox=b"second",
        text="y",
        applied=99,
        clock_us=NOON_US,
        live=True,
        adoptions=((1, "v"),),
    )
    with pytest.raises(FencedError) as caught:
        await store.commit_slice(refused)
    assert caught.value.retriable
    assert await everything(store, ["a", "b", "c"]) == seen
    await store.commit_slice(replace(refused, before=held))  # from the right place it goes through
    assert await everything(store, ["a", "b", "c"]) != seen


async def test_commit_writes_rows_due_times_outbox_and_checkpoint_together(store):
    before = await owned(store)
    after = replace(before.moved(TOPIC, 7), applied=6, duplicates=1, customers=2, clock_us=NOON_US)
    entry = await store.commit_slice(
        SliceCommit(
            partition=0,
            before=before,
            after=after,
            customer_ids=["a", "Zoë"],
            rows=[row("1"), row("2", b"\x00")],
            due_at=[NOON_US / 1e6, math.inf],
            outbox=ALL_BYTES,
        )
    )
    assert entry
    assert await store.load_many(0, ["Zoë", "nobody", "a"]) == [
        fields(row("2", b"\x00")),
        None,
        fields(row("1")),
    ]
    assert await store.due(0, NEVER_US - 1, 10) == ["a"]
    assert await store.next_due_us(0) == NOON_US
    assert sorted(await all_customers(store)) == ["Zoë", "a"]
    assert await store.outbox(0, "", 10) == [(entry, ALL_BYTES)]
    assert await store.checkpoint(0) == after


async def test_erased_customer_goes_with_due_time_and_leaves_a_tombstone(store):
    held = await write(store, {"a": 1.0, "Zoë": 2.0, "c": 3.0})
    first, second = Tombstone(NOON_US, 4), Tombstone(-(2**62), 0)
    gone = [Gone("Zoë", "n1", first), Gone("nobody", "n2", second)]
    commit = replace(commit_of(held, due={"c": 4.0}, text="again"), erased=gone)
    await store.commit_slice(commit)
    assert await store.load_many(0, ["a", "Zoë", "c"]) == [
        fields(row("a x")),
        None,
        fields(row("c again")),
    ]
    assert sorted(await all_customers(store)) == ["a", "c"]
    assert await store.due(0, NEVER_US - 1, 10) == ["a", "c"]
    assert await store.tombstones(0) == {"n1": first, "n2": second}
    assert await store.tombstones(1) == {}
    later = replace(commit_of(commit.after), erased=[Gone("Zoë", "n1", second)])
    await store.commit_slice(later)
    assert (await store.tombstones(0))["n1"] == second


@pytest.mark.parametrize("customers", [4, 700])
async def test_customers_who_stay_are_met_though_others_go_meanwhile(store, customers):
    ids = [f"c{number:03}" for number in range(customers)]
    held = await write(store, dict.fromkeys(ids, 1.0))
    cursor, met = await store.customers(0, 0, 2)
    gone = [Gone(name, name, Tombstone(0, 0)) for name in ids[: customers // 2]]
    await store.commit_slice(replace(commit_of(held), erased=gone))
    while cursor:
        cursor, more = await store.customers(0, cursor, 2)
        met += more
    assert set(met) >= set(ids[customers // 2 :])


async def test_refused_commit_erases_nobody(store):
    held = await write(store, {"a": 1.0})
    refused = replace(
        commit_of(replace(held, epoch=held.epoch + 1)), erased=[Gone("a", "n", Tombstone(1, 1))]
    )
    with pytest.raises(FencedError):
        await store.commit_slice(refused)
    assert await all_customers(store) == ["a"]
    assert await store.tombstones(0) == {}


async def test_commit_of_no_customers_moves_only_the_checkpoint(store):
    before = await owned(store)
    assert await store.commit_slice(commit_of(before)) == ""
    assert await store.checkpoint(0) == replace(before.moved(TOPIC, 1), commits=1)
    assert await all_customers(store) == []
    assert await store.outbox(0, "", 10) == []


async def test_second_commit_overwrites_rows_and_due_times(store):
    held = await write(store, {"a": 1.0, "b": 2.0})
    await store.commit_slice(commit_of(held, due={"a": math.inf}, text="again"))
    first, second = await store.load_many(0, ["a", "b"])
    assert first == fields(row("a again"))
    assert second == fields(row("b x"))
    assert await store.due(0, NEVER_US - 1, 10) == ["b"]


@pytest.mark.parametrize("malformed", ["row too short", "due time missing"])
@pytest.mark.parametrize("names", [FIELDS, SCORE_FIELDS], ids=["all", "scores"])
async def test_malformed_slice_is_our_bug_and_writes_nothing_at_all(store, malformed, names):
    held = await write(store, {"a": 1.0, "b": 2.0})
    seen = await everything(store, ["a", "b"])
    values = ["y"] * len(names)
    short = malformed == "row too short"
    commit = SliceCommit(
        partition=0,
        before=held,
        after=held.moved(TOPIC, 9),
        customer_ids=["a", "b"],
        rows=[values, values[:-2] if short else values],
        due_at=[5.0, 6.0] if short else [5.0],
        outbox=b"o",
        fields=names,
    )
    with pytest.raises(Exception, match=r"malformed|argument"):
        await store.commit_slice(commit)
    assert await everything(store, ["a", "b"]) == seen


async def test_of_two_commits_from_the_same_place_exactly_one_is_written(store):
    before = (await owned(store)).moved(TOPIC, 0)
    outcomes = await asyncio.gather(
        *(
            store.commit_slice(commit_of(before, due={"a": 1.0}, outbox=b"o", text=text))
            for text in "xyz"
        ),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "FencedError",
        "FencedError",
        "str",
    ]
    assert len(await store.outbox(0, "", 10)) == 1


@pytest.mark.parametrize(
    "after",
    [
        {},
        {"live": True},
        {"clock_us": NOON_US},
        {"clock_us": 0},
        {"clock_us": -1},
        {"clock_us": -62_135_596_800_000_000},
        {"clock_us": 253_402_300_799_999_999},
        {"clock_us": UNKNOWN_US},
        {"adoptions": ((UNKNOWN_US, "bootstrap-0"),)},
        {"adoptions": ((UNKNOWN_US, "bootstrap-0"), (NOON_US, "fitted-1"), (NOON_US, "fitted-2"))},
        {"applied": 2**53, "duplicates": 2, "dead": 3, "forwarded": 4, "customers": 5},
        {"next_offsets": {TOPIC: 2**62, REKEYED: 0, "other.topic-1_x": 9}},
        {"heard": {0: 7, 63: 2**62}, "erased": 6},
    ],
)
async def test_checkpoint_comes_back_as_it_was_committed(store, after):
    before = await owned(store)
    commit = replace(commit_of(before), after=replace(before, **after))
    await store.commit_slice(commit)
    assert await store.checkpoint(0) == commit.after
    assert await store.acquire(0, "w") == replace(commit.after, epoch=2)


async def test_commit_never_writes_owner_or_epoch(store):
    before = await owned(store)
    await store.commit_slice(commit_of(before, owner="thief", epoch=99, token="forged"))
    held = await store.checkpoint(0)
    assert (held.owner, held.epoch, held.token) == ("w", 1, "")


async def test_offset_of_a_topic_not_named_in_a_commit_stays(store):
    before = await owned(store)
    both = replace(before, next_offsets={TOPIC: 3, REKEYED: 4})
    await store.commit_slice(SliceCommit(0, before, both))
    one = replace(before, next_offsets={TOPIC: 3})
    await store.commit_slice(SliceCommit(0, one, one.moved(TOPIC, 5)))
    assert dict((await store.checkpoint(0)).next_offsets) == {TOPIC: 5, REKEYED: 4}


async def test_due_gives_the_earliest_first_up_to_the_limit(store):
    await write(store, {"d": 4.0, "b": 2.0, "never": math.inf, "a": -1.0, "c": 3.0, "bb": 2.0})
    assert await store.due(0, 3_000_000, 10) == ["a", "b", "bb", "c"]
    assert await store.due(0, 3_000_000, 2) == ["a", "b"]
    assert await store.due(0, NEVER_US - 1, 10) == ["a", "b", "bb", "c", "d"]


async def test_due_includes_the_very_microsecond_and_not_the_one_before(store):
    await write(store, {"a": NOON_US / 1e6})
    assert await store.due(0, NOON_US - 1, 10) == []
    assert await store.due(0, NOON_US, 10) == ["a"]
    assert await store.next_due_us(0) == NOON_US


async def test_next_due_is_never_when_silence_changes_nothing_for_anyone(store):
    await write(store, {"a": math.inf, "b": math.inf})
    assert await store.next_due_us(0) == NEVER_US
    assert await store.due(0, NEVER_US - 1, 10) == []
    assert sorted(await all_customers(store)) == ["a", "b"]


@pytest.mark.parametrize("customers", [1, 127, 128, 2_500])
async def test_customers_enumerates_everyone(store, customers):
    ids = [f"c-{number}" for number in range(customers)]
    await write(store, dict.fromkeys(ids, math.inf))
    assert set(await all_customers(store, count=100)) == set(ids)


async def test_slice_of_2000_customers_is_written_and_read_at_once(store):
    ids = [f"customer-{number:06d}" for number in range(2_000)]
    await write(store, {customer_id: 1.0 + n for n, customer_id in enumerate(ids)}, outbox=b"o")
    found = await store.load_many(0, ids)
    assert found == [fields(row(f"{customer_id} x")) for customer_id in ids]
    assert await store.due(0, 1_500_000_000, 2_000) == ids[:1_500]


async def test_outbox_gives_entries_in_order_from_any_entry_on(store):
    held = await owned(store)
    entries = []
    for number in range(5):
        packed = b"%d" % number
        entries.append((await store.commit_slice(commit_of(held, outbox=packed)), packed))
        held = await store.checkpoint(0)
    assert await store.outbox(0, "", 10) == entries
    assert await store.outbox(0, "", 2) == entries[:2]
    assert await store.outbox(0, entries[1][0], 2) == entries[2:4]
    assert await store.outbox(0, entries[-1][0], 10) == []


async def test_trimmed_entries_are_forgotten_and_later_ones_stay(store):
    held = await owned(store)
    entries = []
    for number in range(4):
        entries.append(await store.commit_slice(commit_of(held, outbox=b"%d" % number)))
        held = await store.checkpoint(0)
    await store.trim_outbox(0, entries[1])
    await store.trim_outbox(0, entries[0])  # an older trim that comes late changes nothing
    assert [entry for entry, _ in await store.outbox(0, "", 10)] == entries[2:]
    await store.trim_outbox(0, entries[3])
    assert await store.outbox(0, "", 10) == []
    last = await store.commit_slice(commit_of(held, outbox=b"last"))
    assert await store.outbox(0, entries[3], 10) == [(last, b"last")]


async def test_glimpse_is_the_customer_and_the_clock_and_scorecards_of_the_partition(store):
    nothing = Glimpse.of(None, Checkpoint())
    assert await store.glimpse(0, "a") == nothing
    adoptions = ((UNKNOWN_US, "bootstrap-0"), (NOON_US, "fitted-1"))
    due = {"a": 1.0, "日é-1": 2.0}
    await write(store, due, clock_us=NOON_US, live=True, adoptions=adoptions)
    for customer_id in due:
        found = await store.glimpse(0, customer_id)
        assert found.fields == fields(row(f"{customer_id} x"))
        assert found[1:] == (NOON_US, True, adoptions)
    assert await store.glimpse(0, "b") == (None, NOON_US, True, adoptions)
    assert await store.glimpse(1, "a") in (nothing, nothing._replace(fields=fields(row("a x"))))


async def test_partitions_do_not_see_one_another(store):
    await write(store, {"a": 1.0}, outbox=b"zero")
    await write(store, {"b": 2.0}, outbox=b"eleven", partition=11)
    await store.acquire(1, "w")
    assert await store.due(0, NEVER_US - 1, 10) == ["a"]
    assert await store.due(11, NEVER_US - 1, 10) == ["b"]
    assert await all_customers(store, 1) == []
    assert [packed for _, packed in await store.outbox(11, "", 10)] == [b"eleven"]
    assert (await store.checkpoint(1)).next_offsets == {}
    assert (await store.checkpoint(0)).epoch == 1


async def test_bytes_of_ledger_and_outbox_come_back_untouched(store):
    ledgers = {f"c{size}": ALL_BYTES * size for size in (1, 3, 300)} | {"zero": b"\0", "none": b""}
    before = await owned(store)
    outbox = ALL_BYTES[::-1] * 500
    await store.commit_slice(
        SliceCommit(
            partition=0,
            before=before,
            after=before.moved(TOPIC, 1),
            customer_ids=list(ledgers),
            rows=[row("x", ledger) for ledger in ledgers.values()],
            due_at=[math.inf] * len(ledgers),
            outbox=outbox,
        )
    )
    found = await store.load_many(0, list(ledgers))
    assert [hash_["ledger"] for hash_ in found] == list(ledgers.values())
    assert [packed for _, packed in await store.outbox(0, "", 10)] == [outbox]


async def test_installation_fact_keeps_its_first_value(store):
    assert await store.found({"partitions": "4", "timezone": "UTC"}) == {
        "partitions": "4",
        "timezone": "UTC",
    }
    held = await store.found({"partitions": "16", "currency": "EUR"})
    assert held == {"partitions": "4", "timezone": "UTC", "currency": "EUR"}
    assert await store.installation() == held


async def test_scorecard_is_kept_for_ever_and_its_version_never_rewritten(store):
    await store.save_scorecard("bootstrap-0", b'{"n":0}', current=False)
    assert await store.current_scorecard() is None
    await store.save_scorecard("fitted-1", ALL_BYTES, current=True)
    await store.save_scorecard("fitted-1", b"other", current=False)
    await store.save_scorecard("bootstrap-0", b"other", current=True)
    assert await store.scorecards() == {"bootstrap-0": b'{"n":0}', "fitted-1": ALL_BYTES}
    assert await store.current_scorecard() == "bootstrap-0"


async def test_what_the_learner_knows_takes_the_place_of_what_it_knew_before(store):
    for body in (b"{}", ALL_BYTES):
        await store.save_learning(body)
        assert await store.learning() == body


async def test_engine_over_either_store_leaves_the_same_bytes_and_messages(store):
    purchases = cdnow_of(60)
    ids = sorted({purchase.customer_id for purchase in purchases})
    outcomes = []
    for used in (store, MemoryStore()):
        # Nearly no cache: every state is read back from the store before it is changed.
        settings = Settings(_env_file=None, cache_customers_max=1, owner="w")
        run = await Run(2, settings, used).start()
        await run.feed(purchases, 20, sweep_every=2)
        await run.sweep()
        states = [
            await used.load_many(p, [i for i in ids if home_partition(i, 2) == p]) for p in (0, 1)
        ]
        # Each acquisition has a token of its own.
        checkpoints = [replace(await used.checkpoint(p), token="") for p in (0, 1)]
        outcomes.append((states, checkpoints, run.published))
    assert None not in outcomes[0][0][0] + outcomes[0][0][1]
    assert outcomes[0] == outcomes[1]


# --- the same operations, asked of both ------------------------------------------------------------

CUSTOMERS = [f"c{number}" for number in range(6)]
PARTITIONS = st.integers(0, 2)
DUE_AT = st.one_of(
    st.just(math.inf),
    st.integers(-(10**15), 2 * 10**15).map(lambda us: us / 1e6),
    st.integers(0, 3).map(float),
)
COMMITS = st.tuples(
    st.just("commit"),
    PARTITIONS,
    st.dictionaries(st.sampled_from(CUSTOMERS), st.tuples(DUE_AT, st.binary(max_size=9))),
    st.binary(max_size=9),
    st.sampled_from([0, 0, 0, 0, 1, -1]),  # epoch off by
    st.sampled_from([0, 0, 0, 0, 1, -1]),  # offset off by
    st.booleans(),  # scores alone, of those who are known
    st.fixed_dictionaries(
        {},
        optional={
            "clock_us": st.integers(-(10**16), 10**17) | st.just(UNKNOWN_US),
            "live": st.booleans(),
            "applied": st.integers(0, 2**53),
            "adoptions": st.lists(
                st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(max_size=5)), max_size=3
            ).map(tuple),
        },
    ),
)
OPERATIONS = st.lists(
    st.one_of(
        COMMITS,
        COMMITS,
        COMMITS,
        st.tuples(
            st.just("acquire"),
            PARTITIONS,
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        ),
        st.tuples(st.just("trim"), PARTITIONS, st.integers(0, 5)),
        st.tuples(
            st.just("due"), PARTITIONS, st.integers(-(10**15), 2 * 10**15), st.integers(1, 5)
        ),
        st.tuples(
            st.just("found"), st.dictionaries(st.sampled_from("xyz"), st.text("ab"), min_size=1)
        ),
        st.tuples(st.just("save"), st.sampled_from("vw"), st.binary(max_size=5), st.booleans()),
    ),
    max_size=14,
)


class Twin:
    """One store and the entry ids it has given out."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.entries: dict[int, list[str]] = {}

    async def do(self, name, *args):
        return await getattr(self, name)(*args)

    async def commit(self, partition, due, outbox, epoch_off, offset_off, scores, after):
        held = await self.store.checkpoint(partition)
        offset = held.next_offsets.get(TOPIC, 0)
        before = replace(held, epoch=held.epoch + epoch_off).moved(TOPIC, offset + offset_off)
        ids = [f"{partition}-{name}" for name in due]  # a customer has one home
        rows = [row(name, ledger) for name, (_, ledger) in due.items()]
        scores = scores and None not in await self.store.load_many(partition, ids)
        names = SCORE_FIELDS if scores else FIELDS
        commit = SliceCommit(
            partition=partition,
            before=before,
            after=replace(before.moved(TOPIC, offset + 3), **after),
            customer_ids=ids,
            rows=[values[: len(names)] for values in rows],
            due_at=[at for at, _ in due.values()],
            outbox=outbox,
            fields=names,
        )
        try:
            entry = await self.store.commit_slice(commit)
        except FencedError as error:
            return str(error)
        if entry:
            self.entries.setdefault(partition, []).append(entry)
        return bool(entry)

    async def acquire(self, partition, owner):
        return await self.store.acquire(partition, owner)

    async def trim(self, partition, index):
        entries = self.entries.get(partition, [])
        if index < len(entries):
            await self.store.trim_outbox(partition, entries[index])
        return len(entries)

    async def due(self, partition, until_us, limit):
        return await self.store.due(partition, until_us, limit)

    async def found(self, facts):
        return await self.store.found(facts)

    async def save(self, version, body, current):
        await self.store.save_scorecard(version, body, current=current)
        return await self.store.scorecards(), await self.store.current_scorecard()


def test_any_operations_have_the_same_outcome_in_both_stores(at_redis, prefix):
    numbers = iter(range(10**9))

    async def play(operations):
        redis = open_store(at_redis, Keys(f"{prefix}{next(numbers)}:"))
        twins = [Twin(MemoryStore()), Twin(redis)]
        try:
            for operation in operations:
                one, other = [await twin.do(*operation) for twin in twins]
                assert one == other, operation
            for partition in range(3):
                ids = [f"{partition}-{name}" for name in CUSTOMERS]
                one, other = [await everything(twin.store, ids, partition) for twin in twins]
                assert one == other
        finally:
            await redis.close()

    @given(OPERATIONS)
    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    def same(operations):
        runner.run(play(operations))

    with asyncio.Runner() as runner:
        same()


async def test_commit_of_some_fields_leaves_the_others_as_they_were(store):
    before = await owned(store)
    await store.commit_slice(commit_of(before, due={"c1": 1.0, "c2": 2.0}))
    held = await store.checkpoint(0)
    values = [f"new {name}" for name in SCORE_FIELDS]
    await store.commit_slice(
        SliceCommit(0, held, held, ["c2"], [values], [9.0], fields=SCORE_FIELDS)
    )
    untouched, changed = await store.load_many(0, ["c1", "c2"])
    assert untouched == fields(row("c1 x"))
    new = {name: f"new {name}".encode() for name in SCORE_FIELDS}
    assert changed == fields(row("c2 x")) | new
