"""Whom a scorecard is compared on, what a comparison foretells, and the commands on the history."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from ops import scorecards
from ops.cli import fit as fit_command
from ops.cli import scorecard as commands
from ops.cli.main import app
from ops.cli.support import Exit
from ops.loaders.source import LoadOptions, LoadReport
from ops.population import Page, Population, file_pages, live_pages
from ops.scorecards import Comparison, find_scorecard, history_of_scorecards, restoring
from schemas.errors import ConfigurationError, SourceFileError
from schemas.learning import Drift, Fit, Learning, Shadow
from schemas.scorecard import AliveParams, Origin, Scorecard
from scoring.bootstrap import bootstrap_scorecard
from scoring.learning import LearningSample
from scoring.segments import Segmenter
from state.memory_store import MemoryStore
from streams.scorecards import publish_scorecard
from streams.settings import Clock, Settings
from tests.support.purchases import Purchase, Run, cdnow_of

SETTINGS = Settings(_env_file=None, clock=Clock.EVENT)
CUSTOMERS, PARTITIONS = 300, 2
US_PER_DAY = 86_400_000_000
# CDNOW's own, of its last day; not learnt here, which would only take longer.
LEARNT = bootstrap_scorecard().model_copy(
    update={
        "number": 1,
        "origin": Origin.FITTED,
        "alive": AliveParams(r=0.69, alpha_days=69.0, a=0.49, b=0.86),
        "centroids": ((0.8, 2.0, 3.4), (0.7, 0.9, 3.3), (0.2, 1.0, 3.2), (0.3, 0.0, 0.0)),
    }
)
OTHER = LEARNT.model_copy(
    update={
        "alive": AliveParams(r=1.2, alpha_days=20.0, a=0.9, b=1.1),
        "centroids": ((0.8, 2.0, 3.4), (0.7, 0.9, 3.3), (0.3, 0.0, 0.0)),
        "segments": ("Champions", "Loyal", "Gone"),
    }
)


class Kafka:
    """The scorecards topic, for `put_in_use`."""

    told: dict[str, bytes]

    def __init__(self, *_: object) -> None:
        pass

    async def scorecards(self):
        return dict(Kafka.told)

    async def publish(self, outgoing):
        Kafka.told[outgoing[0].key.decode()] = outgoing[0].value

    async def stop(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def adopt(run: Run, card: Scorecard) -> Scorecard:
    kafka = Kafka()
    published = await publish_scorecard(card, run.store, kafka, kafka, SETTINGS)
    await adopt_newest(run)
    return published


async def adopt_newest(run: Run) -> None:
    version = await run.engine.newest_scorecard()
    for partition in range(PARTITIONS):
        await run.engine.adopt(partition, version)
        while run.engine.owned[partition].rescore_cursor is not None:
            await run.engine.rescore(partition)
    await run.sweep()


@pytest.fixture
async def run() -> Run:
    """Three hundred customers of CDNOW, scored by the learnt scorecard."""
    Kafka.told = {}
    run = await Run(PARTITIONS, SETTINGS).start()
    await run.store.found({"partitions": str(PARTITIONS)})
    await run.feed(cdnow_of(CUSTOMERS), 500)
    await adopt(run, LEARNT)
    await run.sweep()
    return run


async def everybody(run: Run) -> list[Page]:
    return [page async for page in live_pages(run.store, SETTINGS, wall_us=0)]


# --- who there is


async def test_customers_of_a_file_are_those_of_the_state_that_counted_it(run, tmp_path):
    file = tmp_path / "log.jsonl"
    purchases = [purchase.value for purchase in cdnow_of(CUSTOMERS)]
    file.write_bytes(b"\n".join([*purchases, purchases[0], b"{no json"]) + b"\n")
    report = LoadReport()
    of_file, of_state = Population(), Population()
    wall_us = 1_790_000_000 * 10**6
    for page in file_pages("jsonl", [file], LoadOptions(), SETTINGS, report, wall_us):
        assert page.segments is None
        of_file.add(page)
    for page in await everybody(run):
        of_state.add(page)
    assert of_file.seen == of_state.seen == CUSTOMERS
    assert of_file.now_us == of_state.now_us
    one, other = of_file.sample(), of_state.sample()
    lag = other.first_day - one.first_day  # a partition whose last purchase is older
    assert set(lag.tolist()) <= {0, 1, 2, 3, 4, 5, 6, 7}
    np.testing.assert_array_equal(one.last_day + lag, other.last_day)
    np.testing.assert_array_equal(one.frequency, other.frequency)
    np.testing.assert_array_equal(one.monetary_value, other.monetary_value)


def test_file_without_a_transaction_is_refused(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"{}\n")
    pages = file_pages("jsonl", [file], LoadOptions(), SETTINGS, LoadReport(), 10**15)
    with pytest.raises(ConfigurationError, match="holds no transaction"):
        next(iter(pages))


def page_of(ranks, now_day=10_400) -> Page:
    ranks = np.array(ranks)
    days = np.full(len(ranks), 10_000)
    customers = LearningSample((ranks * 1000).astype(np.int64), days, days + 5, ranks)
    return Page(customers, ranks, None, now_day * US_PER_DAY)


def test_population_keeps_the_lowest_ranks_however_the_pages_come():
    ranks = np.random.default_rng(1).random(500)
    samples = []
    for pages in (np.split(ranks, 50), [ranks[::-1]]):
        population = Population(customers_max=40)
        for page in pages:
            population.add(page_of(page))
        assert population.seen == 500
        samples.append(population.sample())
    expected = np.sort(ranks)[:40]
    for sample in samples:
        np.testing.assert_array_equal(sample.monetary_value, expected)
        np.testing.assert_array_equal(sample.frequency, (expected * 1000).astype(np.int64))


def test_customers_of_a_partition_that_lags_behind_are_no_more_silent_for_it():
    population = Population()
    population.add(page_of([0.1], now_day=10_300))
    population.add(page_of([0.2], now_day=10_400))
    sample = population.sample()
    assert population.now_us == 10_400 * US_PER_DAY
    assert sample.first_day.tolist() == [10_100, 10_000]
    assert (sample.last_day - sample.first_day).tolist() == [5, 5]


def test_population_of_nobody_is_empty():
    assert len(Population().sample()) == 0


# --- what a comparison foretells


@pytest.mark.parametrize("other", [OTHER, LEARNT.model_copy(update={"hysteresis": 0.3})])
async def test_comparison_foretells_what_becomes_of_everyone(run, other):
    before = {customer: fields["segment"].decode() for customer, fields in run.hashes().items()}
    comparison = Comparison(LEARNT, other, run.engine.calendar)
    for page in await everybody(run):
        comparison.add(page)
    await adopt(run, other)
    after = {customer: fields["segment"].decode() for customer, fields in run.hashes().items()}
    moves = np.zeros_like(comparison.matrix)
    for customer, segment in before.items():
        row = LEARNT.segments.index(segment)
        moves[row, other.segments.index(after[customer])] += 1
    np.testing.assert_array_equal(comparison.matrix, moves)
    assert comparison.customers == CUSTOMERS
    assert comparison.changed == sum(before[one] != after[one] for one in before)


async def test_scorecard_compared_with_itself_moves_nobody(run):
    comparison = Comparison(LEARNT, LEARNT, run.engine.calendar)
    for page in await everybody(run):
        comparison.add(page)
    assert comparison.changed == 0


def test_customers_of_no_known_segment_count_by_the_nearest_centre():
    comparison = Comparison(LEARNT, OTHER, Run(1).engine.calendar)
    page = page_of([0.001, 0.004])
    comparison.add(page)
    assert comparison.customers == 2
    named = Page(page.customers, page.ranks, np.array(["", "Nobody's"], object), page.now_us)
    again = Comparison(LEARNT, OTHER, Run(1).engine.calendar)
    again.add(named)
    np.testing.assert_array_equal(comparison.matrix, again.matrix)


# --- the history


async def test_history_says_since_when_each_was_in_use_and_on_how_many_partitions(run):
    entries = await history_of_scorecards(run.store)
    assert [entry.card.version for entry in entries] == ["bootstrap-0", "fitted-1"]
    assert [entry.in_use for entry in entries] == [False, True]
    assert [entry.partitions for entry in entries] == [0, PARTITIONS]
    assert entries[0].used_since == "the beginning"
    assert entries[1].used_since.startswith("1998-06-")


async def test_scorecard_is_found_by_version_number_file_and_as_the_current_one(run, tmp_path):
    card = (await history_of_scorecards(run.store))[1].card
    file = tmp_path / "card.json"
    file.write_text(OTHER.model_dump_json(indent=2))
    for name in ("fitted-1", "1", "current"):
        assert await find_scorecard(run.store, name) == card
    assert await find_scorecard(run.store, str(file)) == OTHER
    with pytest.raises(ConfigurationError, match="no scorecard 'fitted-7'"):
        await find_scorecard(run.store, "fitted-7")


@pytest.mark.parametrize(
    ("body", "reason"),
    [("{", "the file: Invalid JSON"), ("{}", "number: Field required"), (None, "No such file")],
)
async def test_file_that_is_no_scorecard_is_refused_with_the_field(tmp_path, body, reason):
    file = tmp_path / "card.json"
    if body is not None:
        file.write_text(body)
    with pytest.raises(SourceFileError, match=reason):
        await find_scorecard(MemoryStore(), str(file))


async def test_before_the_first_worker_there_is_none_to_be_found():
    with pytest.raises(ConfigurationError, match="Start a worker"):
        await find_scorecard(MemoryStore(), "current")


# --- the commands


@pytest.fixture
def everscore(run, monkeypatch):
    """Runs a command on the state of `run`, in the place of Redis and Kafka."""

    @asynccontextmanager
    async def same_store(_: Settings):
        yield run.store

    for module in (commands, fit_command):
        monkeypatch.setattr(module, "open_store", same_store)
        monkeypatch.setattr(module, "read_settings", lambda: SETTINGS)
    monkeypatch.setattr(scorecards, "KafkaJournal", Kafka)
    monkeypatch.setattr(scorecards, "Publisher", Kafka)
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*words: str, **options):
        return CliRunner().invoke(app, [*words], **options)

    return invoke


def test_ls_lists_all_and_marks_the_one_in_use(everscore):
    listed = everscore("scorecard", "ls")
    assert listed.exit_code == 0
    (line,) = [line for line in listed.stdout.splitlines() if "in use on 2 partitions" in line]
    assert line.startswith("fitted-1")
    (document,) = [json.loads(everscore("scorecard", "ls", "--json").stdout)]
    assert [one["version"] for one in document] == ["bootstrap-0", "fitted-1"]
    assert document[1]["adopted_at"].startswith("1998-06-")


def test_show_as_json_is_the_scorecard(everscore):
    shown = everscore("scorecard", "show", "1", "--json")
    assert Scorecard.model_validate_json(shown.stdout) == LEARNT
    assert "Champions" in everscore("scorecard", "show", "fitted-1").stdout


def test_report_counts_every_customer(everscore):
    report = everscore("scorecard", "report", "current", "--quiet").stdout
    assert "It is in use now." in report
    sizes = re.findall(r"; (\d+) customers", report)
    assert len(sizes) == 4
    assert sum(map(int, sizes)) == CUSTOMERS


def test_diff_as_json_adds_up(everscore, tmp_path):
    file = tmp_path / "other.json"
    file.write_text(OTHER.model_dump_json())
    found = json.loads(everscore("scorecard", "diff", "current", str(file), "--json").stdout)
    assert (found["from"], found["to"], found["customers"]) == ("fitted-1", "other.json", CUSTOMERS)
    assert sum(sum(row.values()) for row in found["moves"].values()) == CUSTOMERS
    text = everscore("scorecard", "diff", "current", str(file), "--quiet").stdout
    assert f"{found['changed']:,} of {CUSTOMERS} customers" in text


async def test_promote_and_rollback_lead_there_and_back(run, everscore, tmp_path):
    before = {customer: fields["segment"] for customer, fields in run.hashes().items()}
    file = tmp_path / "other.json"
    file.write_text(OTHER.model_dump_json())

    def in_thread(*words: str, **options):  # a command has an event loop of its own
        return everscore(*words, **options)

    asked = await asyncio.to_thread(
        in_thread, "scorecard", "promote", str(file), "--wait", "0", input="n\n"
    )
    assert asked.exit_code == 1
    assert "customers" in asked.stdout
    assert list(Kafka.told) == ["fitted-1"]
    done = await asyncio.to_thread(
        in_thread, "scorecard", "promote", str(file), "--yes", "--wait", "0"
    )
    assert done.exit_code == 0
    assert "published as fitted-2" in done.stdout
    assert "rollback fitted-1" in done.stdout
    assert "EVERSCORE_SEGMENT_COUNT=3" in done.stderr
    await adopt_newest(run)
    assert {fields["segment"] for fields in run.hashes().values()} != set(before.values())
    back = await asyncio.to_thread(
        in_thread, "scorecard", "rollback", "fitted-1", "--yes", "--wait", "0"
    )
    assert "published as fitted-3" in back.stdout
    await adopt_newest(run)
    assert {customer: fields["segment"] for customer, fields in run.hashes().items()} == before
    assert Scorecard.model_validate_json(Kafka.told["fitted-3"]).restores == "fitted-1"
    again = await asyncio.to_thread(in_thread, "scorecard", "rollback", "fitted-1", "--yes")
    assert again.exit_code == Exit.CONFIG
    assert "fitted-3, which is in use, restores fitted-1 already" in again.stderr


def test_rollback_to_what_is_in_use_or_in_no_history_is_refused(everscore, tmp_path):
    in_use = everscore("scorecard", "rollback", "fitted-1", "--yes")
    assert (in_use.exit_code, "fitted-1 is in use" in in_use.stderr) == (Exit.CONFIG, True)
    file = tmp_path / "other.json"
    file.write_text(OTHER.model_dump_json())
    unknown = everscore("scorecard", "rollback", str(file), "--yes")
    assert (unknown.exit_code, "not in the history" in unknown.stderr) == (Exit.CONFIG, True)
    assert list(Kafka.told) == ["fitted-1"]


def test_fit_of_too_few_says_why_in_one_line_and_writes_nothing(everscore, tmp_path):
    purchases = [Purchase(f"C-{n}", 10_000 + n, 500, f"t-{n}") for n in range(20)]
    log, card = tmp_path / "log.jsonl", tmp_path / "card.json"
    log.write_bytes(b"\n".join(purchase.value for purchase in purchases))
    found = everscore("fit", str(log), "--out", str(card), "--quiet")
    assert found.exit_code == Exit.BAD_INPUT
    assert found.stderr.strip().splitlines() == [
        "error 0 of 20 customers came back; 100 are needed to fit a model"
    ]
    assert not card.exists()


def test_fit_writes_a_candidate_and_changes_nothing(everscore, tmp_path):
    card = tmp_path / "card.json"
    found = everscore("fit", "--k", "3", "--out", str(card), "--quiet")
    assert found.exit_code == 0, found.stderr
    candidate = Scorecard.model_validate_json(card.read_bytes())
    assert (candidate.version, len(candidate.segments)) == ("fitted-2", 3)
    assert candidate.training.customers == CUSTOMERS
    assert candidate.training.source == "the live state"
    assert f"everscore scorecard promote {card}" in found.stdout
    assert "compared with fitted-1" in found.stdout
    assert list(Kafka.told) == ["fitted-1"]


def test_fit_publishes_if_told_to(everscore):
    found = everscore("fit", "--k", "4", "--publish", "--json")
    card = Scorecard.model_validate_json(found.stdout)
    assert Kafka.told["fitted-2"] == card.model_dump_json().encode()
    assert card.segments == LEARNT.segments


# --- the operator's overrides

WISHES = "segments: {Champions: {name: VIP, offer: early-access}}\nhysteresis: 0.1\n"


@pytest.fixture
def wishes(everscore, monkeypatch, tmp_path):
    """A file of overrides, and settings that name it."""
    file = tmp_path / "overrides.yaml"
    file.write_text(WISHES)
    settings = SETTINGS.model_copy(update={"overrides": file})
    for module in (commands, fit_command):
        monkeypatch.setattr(module, "read_settings", lambda: settings)
    return file


def test_fit_publishes_what_is_overridden_already(everscore, wishes):
    assert everscore("fit", "--k", "4", "--publish", "--quiet").exit_code == 0
    card = Scorecard.model_validate_json(Kafka.told["fitted-2"])
    assert card.segments == ("VIP", "Loyal", "At-Risk", "Hibernating")
    assert card.identities == LEARNT.segments
    assert (card.offers, card.hysteresis) == (("early-access", None, None, None), 0.1)
    shown = everscore("scorecard", "show", "fitted-2").stdout
    assert "Champions is called VIP" in shown
    assert re.search(r"VIP .* early-access", shown)


def test_fit_with_a_wrong_file_says_key_and_value_before_it_begins(everscore, wishes):
    wishes.write_text("hysteresis: 7")
    refused = everscore("fit", "--quiet")
    assert refused.exit_code == Exit.CONFIG
    assert "hysteresis: 7: Input should be less than 1" in refused.stderr


async def test_promoting_the_current_one_renames_its_segments_and_moves_nobody(
    run, everscore, wishes
):
    before = run.hashes()
    wishes.write_text("segments: {Champions: {name: VIP}}")
    words = ("scorecard", "promote", "current", "--yes", "--wait", "0")
    done = await asyncio.to_thread(everscore, *words)
    assert done.exit_code == 0, done.stderr
    card = Scorecard.model_validate_json(Kafka.told["fitted-2"])
    assert (card.segments[0], card.restores) == ("VIP", None)
    await adopt_newest(run)
    assert {fields["segment"] for fields in before.values()} >= {b"Champions", b"Loyal"}
    for customer, after in run.hashes().items():
        renamed = before[customer]["segment"] == b"Champions"
        assert after["segment"] == (b"VIP" if renamed else before[customer]["segment"])
        # Who is called otherwise is told so, once.
        assert int(after["sequence"]) == int(before[customer]["sequence"]) + renamed


async def test_comparison_foretells_who_moves_though_their_segment_is_renamed(run):
    other = LEARNT.model_copy(
        update={
            "segments": ("VIP", "Loyal", "At-Risk", "Hibernating"),
            "default_segments": LEARNT.segments,
            "hysteresis": 0.4,  # many stay only because they come from there
        }
    )
    comparison = Comparison(LEARNT, other, run.engine.calendar)
    for page in await everybody(run):
        comparison.add(page)
    await adopt(run, other)
    after = [fields["segment"].decode() for fields in run.hashes().values()]
    assert comparison.matrix.sum(axis=0).tolist() == [after.count(name) for name in other.segments]


# --- the learner's candidate


def learning(version: str = "fitted-1") -> Learning:
    """As the learner leaves it: a candidate that would move 12 of 200, and a drift found."""
    at = datetime(1998, 6, 24, tzinfo=UTC)
    return Learning(
        version=version,
        customers=200,
        fit=Fit(
            looked_at=at,
            inertia_per_customer=0.5,
            inertia_share_at_first=0.2,
            inertia_ratios=(1.0, 1.13),
            excesses=(-0.23,),
            promised_buyers=92.3,
            actual_buyers=71,
            over_days=7.0,
            drifts=(Drift(kind="inertia", at=at),),
        ),
        shadow=Shadow(
            card=OTHER.model_copy(update={"number": 2}),
            judged_at=at,
            customers=200,
            gain=0.021,
            moved=12,
            moved_by_parameters=3,
            moves=((1, 2, 3),) * 4,
            reason="too little",
        ),
    )


@pytest.fixture
async def candidate(run) -> Learning:
    found = learning()
    await run.store.save_learning(found.model_dump_json().encode())
    return found


def test_ls_shows_whether_the_scorecard_fits_and_what_its_shadow_would_change(everscore, candidate):
    text = everscore("scorecard", "ls").stdout
    assert "1.13 times as much of the spread unexplained" in text
    assert "71 bought within 7 days, 92 were expected (-23%)" in text
    assert "Drift of inertia was found at 1998-06-24" in text
    assert "12 of 200 customers (6.0%) would change segment, inertia falls by 2.1%" in text
    before, in_use = json.loads(everscore("scorecard", "ls", "--json").stdout)
    assert before["learning"] is None
    assert in_use["learning"]["shadow"]["moved"] == 12
    assert "card" not in in_use["learning"]["shadow"]
    assert in_use["learning"]["fit"]["drifts"][0]["kind"] == "inertia"


def test_show_and_diff_know_the_candidate(everscore, candidate):
    assert "12 of 200 customers" in everscore("scorecard", "show", "candidate").stdout
    assert "71 bought within 7 days" in everscore("scorecard", "show", "current").stdout
    shown = everscore("scorecard", "show", "candidate", "--json").stdout
    assert Scorecard.model_validate_json(shown) == candidate.shadow.card
    text = everscore("scorecard", "diff", "current", "candidate", "--quiet").stdout
    assert f"of {CUSTOMERS} customers" in text
    assert "would change segment from fitted-1 to candidate" in text
    assert "12 of 200 customers" in text


async def test_candidate_is_promoted_by_hand_and_is_none_any_more(run, everscore, candidate):
    words = ("scorecard", "promote", "candidate", "--yes", "--wait", "0")
    done = await asyncio.to_thread(everscore, *words)
    assert done.exit_code == 0, done.stderr
    assert Scorecard.model_validate_json(Kafka.told["fitted-2"]) == candidate.shadow.card
    again = await asyncio.to_thread(everscore, *words)
    assert again.exit_code == Exit.CONFIG
    assert "no candidate beside the scorecard in use" in again.stderr
    assert list(Kafka.told) == ["fitted-1", "fitted-2"]


@pytest.mark.parametrize("kept", [None, b"{}", learning("bootstrap-0").model_dump_json().encode()])
async def test_without_a_candidate_for_the_scorecard_in_use_there_is_nothing_to_promote(
    run, everscore, kept
):
    if kept is not None:
        await run.store.save_learning(kept)
    for words in (("promote", "candidate"), ("show", "candidate"), ("diff", "1", "candidate")):
        refused = await asyncio.to_thread(everscore, "scorecard", *words)
        assert refused.exit_code == Exit.CONFIG
        assert "no candidate" in refused.stderr
    listed = await asyncio.to_thread(everscore, "scorecard", "ls")
    assert "candidate" not in listed.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["fit", "--k", "many"], "'many' is no number of segments"),
        (["fit", "--k", "9"], "Give 2 to 8, or auto"),
        (["fit", "purchases.dat"], "format of purchases.dat is not known"),
        (["fit", "--out", "/nowhere/card.json"], "no file in a folder that exists"),
    ],
)
def test_impossible_wishes_are_refused_with_what_to_do(everscore, words, reason):
    refused = everscore(*words)
    assert refused.exit_code == Exit.CONFIG
    assert reason in refused.stderr


def test_restored_scorecard_keeps_every_number_and_says_whose_they_are():
    card = restoring(LEARNT)
    assert card.restores == "fitted-1"
    assert card.model_copy(update={"restores": None}) == LEARNT
    assert Segmenter(card).names == LEARNT.segments
