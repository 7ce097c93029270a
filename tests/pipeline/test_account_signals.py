"""Every signal by one way: however records are handed over, whoever else is there, from a lake or from memory."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import pipeline.account_signals as account_module
import pipeline.lake_accounts as accounts_module
import pipeline.lake_details as details_module
from pipeline.account_signals import account_signals, filled, hourly_activity
from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.backend import get_backend
from pipeline.clock import ManualClock
from pipeline.detectors.base import MIN_RECORDS
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.ingest import ingest_file
from pipeline.lake.compaction import compact
from pipeline.lake.reader import iter_accounts, read_records
from pipeline.lake_accounts import payments_of, read_accounts
from pipeline.lake_details import Detailed, candidates, hash_sample, read_details
from pipeline.lake_records import joint_digest, newest_of, record_blocks, record_digests
from pipeline.landing import LandingSettings
from pipeline.parameters import Parameters
from pipeline.records.decode import RecordDecoder
from pipeline.scoring import judge_lake
from pipeline.signals import SIGNALS, Context, SignalTable
from pipeline.signals.every import DETAILS, EVERY, FAMILY, LAKE, OTHER, SEQUENCE, WEAK
from pipeline.signals.lake import LAKE_SIGNALS
from pipeline.signals.sequence import SEQUENCE_SIGNALS
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.tables import SIGNAL_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pipeline.lake import Lake
    from pipeline.profiles import Profiles

START = datetime(2026, 1, 12, tzinfo=UTC)
BACKEND = get_backend("numpy")


@pytest.fixture(scope="module")
def records() -> pa.Table:
    """Some 40 accounts, a third of them with too few records."""
    settings = WorldSettings(records=5000, accounts=48, seed=90_970, attack_share=0.2, days=4)
    return pa.concat_tables(list(Traffic(build_world(settings), START)))


@pytest.fixture(scope="module")
def thick(records: pa.Table) -> set[str]:
    counts = Counter(records["account_id"].to_pylist())
    found = {account for account, n in counts.items() if n >= MIN_RECORDS}
    assert 10 < len(found) < len(counts) - 5
    return found


def of_accounts(records: pa.Table, accounts: Iterable[str]) -> pa.Table:
    return records.filter(pc.is_in(records["account_id"], pa.array(sorted(accounts), pa.string())))


def ready(records: pa.Table) -> tuple[Profiles, np.ndarray]:
    """Profiles by account and hourly activity."""
    profiles = Engine(Parameters.default(), window_seconds=86_400 * 20_000).profiles(records).by_account()
    row = {account: i for i, account in enumerate(profiles.account_id)}
    rows = np.array([row[account] for account in records["account_id"].to_pylist()])
    times = records["event_time"].cast(pa.int64()).to_numpy()
    return profiles, hourly_activity(rows, times, None, len(profiles))


def signals(
    records: pa.Table, blocks: pa.Table | list[pa.Table] | None = None, workers: int = 1
) -> SignalTable:
    profiles, activity = ready(records)
    handed = records if blocks is None else blocks
    return account_signals(profiles, activity, handed, Parameters.default(), BACKEND, workers=workers)


@pytest.fixture(scope="module")
def whole(records: pa.Table) -> SignalTable:
    return signals(records)


def assert_equal(one: SignalTable, two: SignalTable, names: Iterable[str] = EVERY) -> None:
    assert one.account_id.tolist() == two.account_id.tolist()
    for name in names:
        np.testing.assert_array_equal(one.columns[name], two.columns[name], err_msg=name)


class TestRegistry:
    def test_is_all_that_is_kept_in_the_tables_order(self) -> None:
        kept = [*SIGNALS, *SEQUENCE_SIGNALS, *LAKE_SIGNALS]
        assert list(EVERY) == [name for name in kept if name not in WEAK]
        assert tuple(EVERY) == SIGNAL_COLUMNS
        assert tuple(name for name in EVERY if name not in SIGNALS) == DETAILS
        assert set(WEAK) <= set(kept)

    def test_every_signal_is_in_one_family(self) -> None:
        assert list(FAMILY) == list(EVERY)
        assert OTHER not in FAMILY.values()
        assert {FAMILY[name] for name in EVERY if name.startswith("part_")} <= {"parts"}


class TestOneWay:
    def test_has_every_column_and_details_of_those_with_records_enough(
        self, whole: SignalTable, thick: set[str]
    ) -> None:
        assert list(whole.columns) == list(EVERY)
        deep = np.array([account in thick for account in whole.account_id])
        for name in DETAILS:
            assert np.isnan(whole.columns[name][~deep]).all(), name
        known = [np.isfinite(whole.columns[name][deep]).mean() for name in DETAILS]
        assert np.mean(known) > 0.8
        assert min(known) > 0

    @pytest.mark.parametrize("seed", [1, 2])
    def test_any_split_into_whole_accounts_in_any_order_gives_the_same(
        self, records: pa.Table, whole: SignalTable, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        accounts = rng.permutation(whole.account_id)
        cuts = np.sort(rng.choice(len(accounts), 4, replace=False))
        blocks = []
        for names in np.split(accounts, cuts):
            block = of_accounts(records, names.tolist())
            blocks.append(block.take(pa.array(rng.permutation(block.num_rows))))
        assert_equal(signals(records, blocks), whole)

    def test_processes_change_nothing(
        self, records: pa.Table, whole: SignalTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(account_module, "_TASK_ROWS", 600)
        assert_equal(signals(records, workers=2), whole)

    def test_accounts_with_few_records_are_not_in_the_lake_of_the_others(
        self, records: pa.Table, whole: SignalTable, thick: set[str]
    ) -> None:
        profiles, activity = ready(records)
        deep = np.array([account in thick for account in profiles.account_id])
        population = whole
        alone = account_signals(
            profiles.take(deep), activity[deep], of_accounts(records, thick), Parameters.default(), BACKEND
        )
        for name in DETAILS:
            np.testing.assert_array_equal(alone.columns[name], population.columns[name][deep], err_msg=name)
        # Nor do their hours lengthen the period that the others are compared over.
        late = records.filter(pc.invert(pc.is_in(records["account_id"], pa.array(sorted(thick)))))
        moved = pc.add(late["event_time"], pa.scalar(86_400_000_000 * 3, pa.duration("us")))
        at = late.schema.get_field_index("event_time")
        later = pa.concat_tables([of_accounts(records, thick), late.set_column(at, "event_time", moved)])
        again = signals(later)
        for name in DETAILS:
            np.testing.assert_array_equal(again.columns[name], whole.columns[name], err_msg=name)

    def test_an_account_in_two_blocks_is_refused(self, records: pa.Table, thick: set[str]) -> None:
        mine = of_accounts(records, [min(thick)])
        with pytest.raises(UsageError, match=f"{min(thick)} come in several blocks"):
            signals(records, [mine.slice(0, 60), mine.slice(60)])

    def test_records_without_a_profile_are_refused(self, records: pa.Table, thick: set[str]) -> None:
        profiles, _ = ready(of_accounts(records, [min(thick)]))
        with pytest.raises(UsageError, match="and no profile"):
            account_signals(profiles, None, records, Parameters.default(), BACKEND)

    def test_nobody_gives_nothing(self, records: pa.Table) -> None:
        found = signals(records.slice(0, 0))
        assert list(found.columns) == list(EVERY)
        assert len(found) == 0

    def test_what_a_table_lacks_is_nan(self, whole: SignalTable) -> None:
        part = SignalTable(whole.account_id, whole.records, {"hour_entropy": whole.columns["hour_entropy"]})
        full = filled(part)
        assert list(full.columns) == list(EVERY)
        assert np.isnan(full.columns["peer_cosine"]).all()
        assert_equal(full, whole, ["hour_entropy"])


def test_activity_is_bounded_to_the_newest_hours() -> None:
    hours = np.array([0, 5, account_module.ACTIVITY_HOURS + 4]) * 3_600_000_000
    found = hourly_activity(np.array([0, 1, 1]), hours, None, 2)
    assert found.shape == (2, account_module.ACTIVITY_HOURS)
    assert found.sum() == 2
    assert found[1, 0] == 1


def make_lake(folder: Path, records: pa.Table, pieces: int = 3, *, compacted: bool = False) -> Lake:
    """A lake of several segments."""
    clock = ManualClock(START)
    lake = open_or_create_lake(folder / "lake", clock=clock)
    engine = engine_for(lake, "numpy")
    edges = np.linspace(0, records.num_rows, pieces + 1).astype(int)
    for number, (low, high) in enumerate(pairwise(edges.tolist())):
        path = folder / f"log{number}.parquet"
        pq.write_table(records.slice(low, high - low), path)
        ingest_file(
            lake,
            engine,
            RecordDecoder(lake.config.space, adapter="native"),
            path,
            clock=clock,
            settings=LandingSettings(segment_seconds=float("inf"), roll_up_seconds=float("inf")),
        )
    if compacted:
        compact(lake, engine)
    return lake


@pytest.fixture(scope="module")
def lake(records: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    order = np.random.default_rng(4).permutation(records.num_rows)
    return make_lake(tmp_path_factory.mktemp("lake"), records.take(pa.array(order)))


@pytest.fixture(scope="module")
def landed(lake: Lake) -> pa.Table:
    """The records as they lie in the lake: ingestion hashes what identifies prompts once more."""
    return read_records(lake.snapshot())


@pytest.fixture(scope="module")
def whole_lake(landed: pa.Table) -> SignalTable:
    return signals(landed)


def read(lake: Lake, **options: object) -> tuple[SignalTable, Detailed]:
    """Profile signals, and all of them."""
    snapshot, engine = lake.snapshot(), engine_for(lake, "numpy")
    found = read_accounts(snapshot, engine, None, None)
    table = found.with_population(Context(found.population))
    details = read_details(
        snapshot,
        engine,
        found,
        table,
        None,
        None,
        first_stage=lambda given: np.where(
            given.records >= MIN_RECORDS, given.columns["topic_entropy"], np.nan
        ),
        **options,  # type: ignore[arg-type]
    )
    return table, details


class TestOfALake:
    def test_a_lake_has_the_signals_of_its_records(self, lake: Lake, whole_lake: SignalTable) -> None:
        _, details = read(lake)
        assert_equal(details.table, whole_lake)
        assert details.population is details.table
        np.testing.assert_array_equal(details.detailed, whole_lake.records >= MIN_RECORDS)

    def test_scores_have_them_too(self, lake: Lake, whole_lake: SignalTable) -> None:
        scores = judge_lake(lake.snapshot(), engine_for(lake, "numpy")).tables["account_scores"]
        for name in DETAILS:
            column = scores[name].to_numpy(zero_copy_only=False)
            np.testing.assert_array_equal(column, whole_lake.columns[name], err_msg=name)

    def test_compacted_in_other_blocks_and_below_its_vector_it_is_the_same(
        self,
        lake: Lake,
        records: pa.Table,
        whole_lake: SignalTable,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("pipeline.lake.compaction.RECORDS_ROW_GROUP", 200)
        monkeypatch.setattr(details_module, "record_blocks", partial(record_blocks, rows=300))
        monkeypatch.setattr(accounts_module, "iter_accounts", partial(iter_accounts, block_windows=40))
        other = make_lake(tmp_path, records, 2, compacted=True)
        assert_equal(read(other)[1].table, whole_lake)
        snapshot, engine = lake.snapshot(), engine_for(lake, "numpy")
        below = read_accounts(snapshot, engine, None, None, vector=snapshot.vector)
        landed = read_accounts(snapshot, engine, None, None)
        assert_equal(below.table, landed.table, [n for n in SIGNALS if n != "population_mmd2"])
        assert below.population == landed.population
        np.testing.assert_array_equal(below.last, landed.last)
        # A chain that is not in the vector does not count.
        some = dict(list(snapshot.vector.items())[:1])
        first = read_records(snapshot, columns=["account_id"], vector=some)
        assert read_accounts(snapshot, engine, None, None, vector=some).table.records.sum() == first.num_rows
        assert sum(map(len, payments_of(snapshot, some).values())) <= sum(
            map(len, payments_of(snapshot).values())
        )

    def test_shared_among_processes_it_is_the_same(self, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(accounts_module, "SHARED_RECORDS", 1)
        monkeypatch.setattr(accounts_module, "DETAIL", 10)
        snapshot, engine = lake.snapshot(), engine_for(lake, "numpy")
        one, two = (read_accounts(snapshot, engine, None, None, workers=workers) for workers in (1, 2))
        assert len(two.parts) > len(one.parts)
        context = Context(one.population)
        assert_equal(two.with_population(context), one.with_population(context), list(SIGNALS))
        assert two.population == one.population
        np.testing.assert_array_equal(two.first, one.first)
        np.testing.assert_array_equal(two.last, one.last)
        everybody = np.ones(len(one.table), bool)
        np.testing.assert_array_equal(two.activity.of(everybody), one.activity.of(everybody))
        for field in dataclasses.fields(one.ties):
            np.testing.assert_array_equal(getattr(two.ties, field.name), getattr(one.ties, field.name))


class TestOfALargeLake:
    @pytest.fixture
    def large(self, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> tuple[SignalTable, Detailed]:
        monkeypatch.setattr(accounts_module, "DETAIL", 10)
        monkeypatch.setattr(details_module, "SAMPLED", 8)
        monkeypatch.setattr(details_module, "CANDIDATE_SHARE", 0.15)
        monkeypatch.setattr(details_module, "_PROFILES", 3)
        # Of some accounts what is held will do, others are read again.
        monkeypatch.setattr(details_module, "MOST_EXACT", 200)
        return read(lake)

    def test_sample_and_candidates_are_read_and_agree_with_a_small_lake(
        self, large: tuple[SignalTable, Detailed], whole_lake: SignalTable
    ) -> None:
        profile, details = large
        scorable = whole_lake.records >= MIN_RECORDS
        entropy = np.where(scorable, profile.columns["topic_entropy"], -np.inf)
        expected = set(np.argsort(-entropy)[: int(np.ceil(0.15 * scorable.sum()))].tolist())
        assert details.sampled.sum() == 8
        assert set(np.flatnonzero(details.detailed & ~details.sampled)) <= expected
        assert expected <= set(np.flatnonzero(details.detailed))
        assert details.detailed.sum() < scorable.sum()
        for name in SEQUENCE:
            read_, all_ = details.table.columns[name], whole_lake.columns[name]
            np.testing.assert_array_equal(read_[details.detailed], all_[details.detailed], err_msg=name)
        for name in DETAILS:
            assert np.isnan(details.table.columns[name][~details.detailed]).all()
        for name in SIGNALS:
            np.testing.assert_array_equal(details.table.columns[name], whole_lake.columns[name])

    def test_lake_signals_are_among_those_who_are_read(
        self, large: tuple[SignalTable, Detailed], landed: pa.Table
    ) -> None:
        _, details = large
        chosen = details.table.account_id[details.detailed]
        alone = signals(of_accounts(landed, chosen.tolist()))
        for name in LAKE:
            np.testing.assert_array_equal(
                details.table.columns[name][details.detailed], alone.columns[name], err_msg=name
            )

    def test_distributions_are_of_the_sample(self, large: tuple[SignalTable, Detailed]) -> None:
        _, details = large
        only = details.detailed & ~details.sampled
        assert only.any()
        for name in DETAILS:
            assert np.isnan(details.population.columns[name][only]).all()
            np.testing.assert_array_equal(
                details.population.columns[name][details.sampled],
                details.table.columns[name][details.sampled],
            )
        assert_equal(details.population, details.table, SIGNALS)

    def test_the_sample_is_of_names_and_the_candidates_are_the_highest(self) -> None:
        rng = np.random.default_rng(5)
        names = np.array([f"a{i}" for i in range(400)], object)
        scorable = rng.random(400) < 0.8
        chosen = set(names[hash_sample(names, scorable, 50)])
        order = rng.permutation(400)
        assert set(names[order][hash_sample(names[order], scorable[order], 50)]) == chosen
        assert len(chosen) == 50
        assert chosen <= set(names[scorable])
        score = rng.normal(size=400)
        score[::7] = np.nan
        picked = candidates(score)
        assert picked.sum() == np.ceil((~np.isnan(score)).sum() * 0.02)
        assert np.nanmin(score[picked]) > np.nanmax(score[~picked])


class TestRecords:
    def test_blocks_share_no_account_and_hold_all_records(
        self, records: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pipeline.lake.compaction.RECORDS_ROW_GROUP", 200)
        lake = make_lake(tmp_path, records, 2, compacted=True)
        columns = ["account_id", "request_id"]
        blocks = list(record_blocks(lake.snapshot(), None, None, None, columns, rows=300))
        assert len(blocks) > 3
        names = [set(block["account_id"].to_pylist()) for block in blocks]
        assert sum(map(len, names)) == len(set.union(*names))
        found = Counter(pa.concat_tables(blocks)["request_id"].to_pylist())
        assert found == Counter(records["request_id"].to_pylist())

    def test_newest_are_kept_with_those_that_tie(self) -> None:
        times = [5, 1, 5, 3, 9, 2, 7, 7]
        table = pa.table(
            {
                "account_id": ["a"] * 6 + ["b"] * 2,
                "event_time": pa.array(times, pa.timestamp("us")),
                "request_id": ["x", "x", "x", "y", "z", "x", "x", "y"],
                "row": list(range(8)),
            }
        )
        assert newest_of(table, 2)["row"].to_pylist() == [0, 2, 4, 6, 7]
        assert newest_of(table, 1)["row"].to_pylist() == [4, 7]
        assert newest_of(table, 8) is table

    def test_newest_of_a_lake_are_enough_for_the_newest(
        self, lake: Lake, records: pa.Table, thick: set[str]
    ) -> None:
        names = sorted(thick)
        blocks = record_blocks(lake.snapshot(), names, None, None, ["account_id", "event_time"], newest=40)
        found = pa.concat_tables(blocks)
        for name in names:
            mine = np.sort(of_accounts(records, [name])["event_time"].cast(pa.int64()).to_numpy())
            got = np.sort(of_accounts(found, [name])["event_time"].cast(pa.int64()).to_numpy())
            np.testing.assert_array_equal(got[-40:], mine[-40:])

    def test_a_digest_is_of_what_records_say_not_of_where_they_lie(
        self, lake: Lake, records: pa.Table, thick: set[str], tmp_path: Path
    ) -> None:
        names = sorted(thick)[:4]
        before = record_digests(lake.snapshot(), names, None, None)
        assert sorted(before) == names
        other = make_lake(tmp_path, records, 1, compacted=True)
        assert record_digests(other.snapshot(), [*names, "nobody"], None, None) == before
        shutil.rmtree(tmp_path / "lake")
        row = records["account_id"].to_pylist().index(names[0])
        countries = records["country"].to_pylist()
        countries[row] = "ZZ"
        at = records.schema.get_field_index("country")
        altered = make_lake(tmp_path, records.set_column(at, "country", pa.array(countries)), 1)
        after = record_digests(altered.snapshot(), names, None, None)
        assert {name for name in names if after[name] != before[name]} == {names[0]}
        assert joint_digest(before, names) != joint_digest(after, names)
        assert joint_digest(before, names) == joint_digest(before, names[::-1])
        assert joint_digest(before, [names[0]]) == before[names[0]]
        assert joint_digest(before, [*names, "nobody"]) is None
