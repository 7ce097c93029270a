"""Lake signals: registry, independence of order and of blocks, and each against a plain reference."""

from __future__ import annotations

import doctest
import importlib
import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import pipeline.signals.lake
from pipeline import readings
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.kernels.distinct import PADDING
from pipeline.parameters import Parameters
from pipeline.profiles import Profiles
from pipeline.signals.lake import LAKE_SIGNALS, LakeAccounts, Sample, cells, neighbours, sample_of
from pipeline.signals.lake.base import overlaps
from pipeline.signals.lake.example import lake
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

FOLDER = Path(pipeline.signals.lake.__file__).parent
MODULES = [f"pipeline.signals.lake.{path.stem}" for path in FOLDER.glob("*.py") if path.stem != "__init__"]


def built(table: pa.Table) -> LakeAccounts:
    """What scoring would do with a table of records."""
    windows = Engine(Parameters.default()).profiles(table)
    profiles = windows.by_account()
    table = table.take(
        pc.sort_indices(table, [(c, "ascending") for c in ("account_id", "event_time", "request_id")])
    )
    parts = [table.filter(pc.equal(table["account_id"], name)) for name in profiles.account_id]
    hour = windows.window_start // 3_600_000_000
    activity = np.zeros((len(profiles), int(np.ptp(hour)) + 1), np.int64)
    rows = np.searchsorted(profiles.account_id.astype(str), windows.account_id.astype(str))
    np.add.at(activity, (rows, hour - hour.min()), windows.records)
    return LakeAccounts(profiles, sample_of(parts, 384), activity)


@pytest.fixture(scope="module")
def traffic() -> pa.Table:
    world = build_world(WorldSettings(records=5000, accounts=40, seed=90_901, attack_share=0.2, days=4))
    return pa.concat_tables(list(Traffic(world, datetime(2026, 1, 12, tzinfo=UTC))))


@pytest.fixture(scope="module")
def accounts(traffic: pa.Table) -> LakeAccounts:
    return built(traffic)


def reordered(accounts: LakeAccounts, order: np.ndarray) -> LakeAccounts:
    """The same accounts under other names, so that they stand in another order."""
    rows = np.concatenate([np.flatnonzero(accounts.sample.owner == old) for old in order])
    place = np.argsort(order)
    sample = accounts.sample
    p = accounts.profiles
    names = np.array([f"renamed{i:05d}" for i in range(len(order))], object)
    parts = (p.window_start, p.light, p.cells, p.embedding_sum, p.moment, p.kernel_mean, p.hashes)
    activity = None if accounts.activity is None else accounts.activity[order]
    return LakeAccounts(
        Profiles(p.parameters, names, *(part[order] for part in parts)),
        Sample(
            place[sample.owner[rows]],
            sample.vectors[rows],
            sample.prompt[rows],
            sample.model[rows],
            sample.time[rows],
        ),
        activity,
    )


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


class TestRegistry:
    def test_every_signal_has_a_file_of_its_name_and_says_what_it_is(self) -> None:
        for name, signal in LAKE_SIGNALS.items():
            assert (FOLDER / f"{name}.py").is_file()
            for text in (signal.units, signal.formula, signal.source, signal.sees, signal.misses):
                assert text
            assert re.search(r"\d", signal.sentence(0.25))

    def test_every_file_that_is_a_signal_is_registered(self) -> None:
        written = {path.stem for path in FOLDER.glob("*.py") if "SIGNAL = LakeSignal(" in path.read_text()}
        assert written == set(LAKE_SIGNALS)

    def test_no_name_is_used_twice(self) -> None:
        from pipeline.signals import SIGNALS
        from pipeline.signals.sequence import SEQUENCE_SIGNALS

        assert not set(LAKE_SIGNALS) & (set(SIGNALS) | set(SEQUENCE_SIGNALS))


@pytest.mark.parametrize("name", list(LAKE_SIGNALS))
class TestEverySignal:
    def test_gives_numbers(self, name: str, accounts: LakeAccounts) -> None:
        values = LAKE_SIGNALS[name].values(accounts)
        assert values.shape == (len(accounts),)
        assert values.dtype == np.float64
        assert not np.isinf(values).any()
        assert np.isfinite(values).sum() > len(values) / 3

    def test_names_do_not_matter(self, name: str, accounts: LakeAccounts) -> None:
        order = np.random.default_rng(4).permutation(len(accounts))
        again = LAKE_SIGNALS[name].values(reordered(accounts, order))
        np.testing.assert_allclose(again, LAKE_SIGNALS[name].values(accounts)[order], atol=2e-9)

    def test_nobody_one_and_silent_accounts(self, name: str, accounts: LakeAccounts) -> None:
        signal = LAKE_SIGNALS[name]
        none = np.empty(0, np.int64)
        bare = Sample(none, np.empty((0, 384), np.int8), none, none, none)
        assert signal.values(LakeAccounts(Profiles.empty(Parameters.default()), bare)).shape == (0,)
        assert signal.values(lake([[0] * 30])).shape == (1,)
        assert signal.values(LakeAccounts(accounts.profiles, bare)).shape == (len(accounts),)
        assert np.isnan(signal.values(lake([[], [0] * 30, [1] * 30]))[0])


class TestArrival:
    def test_order_of_the_records_does_not_matter(self, traffic: pa.Table, accounts: LakeAccounts) -> None:
        mixed = built(traffic.take(pa.array(np.random.default_rng(1).permutation(traffic.num_rows))))
        np.testing.assert_array_equal(mixed.sample.vectors, accounts.sample.vectors)
        for name, signal in LAKE_SIGNALS.items():
            np.testing.assert_array_equal(signal.values(mixed), signal.values(accounts), err_msg=name)

    def test_sample_is_bounded_and_evenly_spaced(self, traffic: pa.Table) -> None:
        one = traffic.filter(pc.equal(traffic["account_id"], traffic["account_id"][0]))
        sample = sample_of([one.slice(0, 0), one, one.slice(0, 3)], 384, size=10)
        assert np.bincount(sample.owner).tolist() == [0, 10, 3]
        times = one["event_time"].cast(pa.int64()).to_numpy()
        assert sample.time[:10].tolist() == [times[i * len(times) // 10] for i in range(10)]

    def test_a_sample_in_the_wrong_order_is_refused(self, accounts: LakeAccounts) -> None:
        with pytest.raises(UsageError, match="ascending"):
            replace(accounts, sample=replace(accounts.sample, owner=accounts.sample.owner[::-1]))


class TestNeighbours:
    def test_are_those_of_all_pairs(self, accounts: LakeAccounts) -> None:
        rows, cosine = accounts.peers
        profiles = accounts.profiles
        sums = profiles.embedding_sum.astype(np.float64)
        c, n = readings.mean_pairwise_cosine(profiles), profiles.records
        factor = np.sqrt((c + (1 - c) / n) / c)
        unit = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        for i in range(len(accounts)):
            usable = [j for j in range(len(accounts)) if j != i and c[j] >= neighbours.MIN_COHERENCE]
            if c[i] < neighbours.MIN_COHERENCE:
                assert (rows[i] == -1).all()
                continue
            full = {j: unit[i] @ unit[j] * factor[i] * factor[j] for j in usable}
            expected = sorted(full.values(), reverse=True)[:20]
            np.testing.assert_allclose(cosine[i][: len(expected)], expected, atol=5e-3)
            np.testing.assert_allclose([full[j] for j in rows[i] if j >= 0], expected, atol=5e-3)

    def test_blocks_do_not_matter(self, accounts: LakeAccounts, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = neighbours.nearest_accounts(accounts.profiles, 5)
        monkeypatch.setattr(neighbours, "BLOCK", 7)
        for one, two in zip(whole, neighbours.nearest_accounts(accounts.profiles, 5), strict=True):
            np.testing.assert_array_equal(one, two)

    def test_equal_accounts_come_in_order(self) -> None:
        rows, _ = neighbours.nearest_accounts(lake([[0] * 384] * 6).profiles, 3)
        assert rows[0].tolist() == [1, 2, 3]
        assert rows[5].tolist() == [0, 1, 2]

    def test_the_product_is_exact(self, accounts: LakeAccounts) -> None:
        unit, _ = neighbours.directions(accounts.profiles)
        exact = unit.astype(np.int64) @ unit.astype(np.int64).T
        np.testing.assert_array_equal(neighbours.host_product(unit, unit).astype(np.int64), exact)
        assert exact.max() < 2**24

    def test_noise_of_few_records_is_taken_out(self) -> None:
        rng = np.random.default_rng(3)
        axes = [rng.integers(0, 4, size).tolist() for size in (12, 12, 400, 400)]
        _, cosine = neighbours.nearest_accounts(lake(axes).profiles, 3)
        assert np.abs(cosine - 1).max() < 0.25


class TestCells:
    def test_assignment_is_the_largest_product(self, accounts: LakeAccounts) -> None:
        centres = cells.fit_cells(accounts.sample.vectors)
        products = accounts.sample.vectors.astype(np.int64) @ centres.astype(np.int64).T
        assert np.abs(products).max() < 2**24
        np.testing.assert_array_equal(accounts.cells, products.argmax(axis=1))

    def test_order_of_the_records_does_not_matter(self, accounts: LakeAccounts) -> None:
        x = accounts.sample.vectors
        mixed = x[np.random.default_rng(2).permutation(len(x))]
        np.testing.assert_array_equal(cells.fit_cells(mixed), cells.fit_cells(x))

    def test_separate_subjects_have_cells_of_their_own(self) -> None:
        accounts = lake([[axis] * 40 for axis in range(8)])
        owner, cell = accounts.sample.owner, accounts.cells
        # Eight centres started at random cannot all be right, but no subject is scattered.
        assert len(set(cell.tolist())) >= 5
        assert max(len(set(cell[owner == axis].tolist())) for axis in range(8)) <= 4

    def test_the_lakes_shares_leave_the_account_itself_out(self, accounts: LakeAccounts) -> None:
        counts = accounts.cell_counts
        rarity = LAKE_SIGNALS["cell_rarity"].values(accounts)
        for a in (0, 11, 39):
            q = np.full(counts.shape[1], 0.5 / counts.shape[1])
            for b in range(len(accounts)):
                if b != a:
                    q += counts[b] / counts[b].sum()
            q /= len(accounts) - 1 + 0.5
            assert q.sum() == pytest.approx(1.0)
            assert rarity[a] == pytest.approx(-(counts[a] / counts[a].sum() * np.log2(q)).sum())

    def test_every_prompt_counts_once(self) -> None:
        accounts = lake([[0] * 6, [0] * 6], prompts=[[1, 1, 1, 2, 2, 3], [1, 1, 1, 1, 1, 1]])
        assert accounts.cell_counts.sum(axis=1).tolist() == [3, 1]

    def test_collisions_coverage_and_rarity(self, accounts: LakeAccounts) -> None:
        kept = []
        seen = set()
        for i, (o, p) in enumerate(
            zip(accounts.sample.owner.tolist(), accounts.sample.prompt.tolist(), strict=True)
        ):
            if (o, p) not in seen:
                kept.append(i)
            seen.add((o, p))
        assert accounts.first_prompts.tolist() == kept
        mine = [
            [int(accounts.cells[i]) for i in kept if accounts.sample.owner[i] == a]
            for a in range(len(accounts))
        ]
        got = LAKE_SIGNALS["own_collisions"].values(accounts)
        company = LAKE_SIGNALS["cell_company"].values(accounts)
        for a in (0, 7, 23):
            n = len(mine[a])
            own = sum(x == y for i, x in enumerate(mine[a]) for j, y in enumerate(mine[a]) if i != j)
            across = [
                np.mean([x == y for x in mine[a] for y in mine[p]]) for p in accounts.peers[0][a] if p >= 0
            ]
            if across and n >= 10:
                expected = math.log(((own + 0.5) / (n * (n - 1) + 1) + 1e-4) / (np.mean(across) + 1e-4))
                assert got[a] == pytest.approx(expected)
            others = [sum(x in mine[b] for b in range(len(mine)) if b != a) for x in mine[a]]
            assert company[a] == pytest.approx(np.mean(np.log2(1 + np.array(others))))

    def test_crowding_is_own_pairs_against_strangers(self, accounts: LakeAccounts) -> None:
        kept = accounts.first_prompts
        x = accounts.sample.vectors[kept].astype(np.float64)
        owner, cell = accounts.sample.owner[kept], accounts.cells[kept]
        got = LAKE_SIGNALS["cell_crowding"].values(accounts)
        for a in np.flatnonzero(~np.isnan(got))[:3]:
            total, weight = 0.0, 0
            for c in set(cell[owner == a].tolist()):
                own, others = (
                    np.flatnonzero((owner == a) & (cell == c)),
                    np.flatnonzero((owner != a) & (cell == c)),
                )
                if len(own) >= 2 and len(others):
                    inside = np.mean([x[i] @ x[j] for i in own for j in own if i != j])
                    outside = np.mean([x[i] @ x[j] for i in own for j in others])
                    length = np.mean([x[i] @ x[i] for i in own])
                    total += len(own) * (len(own) - 1) * (inside - outside) / length
                    weight += len(own) * (len(own) - 1)
            assert got[a] == pytest.approx(total / weight)

    def test_a_region_of_its_peers_corpus_is_told_from_a_draw_of_it(self) -> None:
        rng = np.random.default_rng(5)
        corpus = [rng.choice(12, 60).tolist() for _ in range(25)]
        region = [rng.choice([0, 1], 60).tolist() for _ in range(3)]
        accounts = lake([*corpus, *region])
        for name in ("own_collisions", "peer_divergence", "cell_divergence"):
            values = LAKE_SIGNALS[name].values(accounts)
            assert values[25:].min() > values[:25].max(), name
        values = LAKE_SIGNALS["own_collisions"].values(accounts)
        assert abs(np.median(values[:25])) < 0.35


class TestOverlap:
    def test_of_many_pairs_is_that_of_each(self) -> None:
        rng = np.random.default_rng(6)
        sketches = np.full((12, 64), np.uint64(PADDING))
        for row in range(12):
            size = int(rng.integers(0, 90))
            values = np.sort(rng.choice(120, size, replace=False).astype(np.uint64) << np.uint64(40))[:64]
            sketches[row, : len(values)] = values
        rows, others = (part.reshape(-1) for part in np.meshgrid(np.arange(12), np.arange(12)))
        got = overlaps(sketches, rows, others)
        for value, i, j in zip(got, rows, others, strict=True):
            if (sketches[i] == PADDING).all() or (sketches[j] == PADDING).all():
                assert np.isnan(value)
            else:
                assert value == pytest.approx(readings.sketch_overlap(sketches[i], sketches[j]))

    def test_deficit_is_what_the_lake_usually_shares_less_what_is_shared(self) -> None:
        rng = np.random.default_rng(7)
        bots = [rng.choice(30, 20, replace=False).tolist() for _ in range(30)]
        hydra = [list(range(1000 + 20 * i, 1020 + 20 * i)) for i in range(6)]
        accounts = lake([[0] * 20] * 36, prompts=[*bots, *hydra])
        values = LAKE_SIGNALS["overlap_deficit"].values(accounts)
        assert values[30:].min() > 2 > 0 > np.median(values[:30])

    def test_deficit_with_plain_loops(self) -> None:
        rng = np.random.default_rng(17)
        prompts = [rng.choice(40, 20, replace=False).tolist() for _ in range(12)]
        accounts = lake([rng.choice(2, 20).tolist() for _ in range(12)], prompts=prompts)
        peers, cosine = accounts.peers
        pairs = [(i, int(j), cosine[i, k]) for i in range(12) for k, j in enumerate(peers[i]) if j >= 0]
        shared = [
            len(set(prompts[i]) & set(prompts[j])) / len(set(prompts[i]) | set(prompts[j]))
            for i, j, _ in pairs
        ]
        level = [sum(other <= near for _, _, other in pairs) * 16 // len(pairs) for _, _, near in pairs]
        usual = {k: np.mean([o for o, m in zip(shared, level, strict=True) if m == k]) for k in set(level)}
        values = LAKE_SIGNALS["overlap_deficit"].values(accounts)
        for i in range(12):
            mine = [k for k, pair in enumerate(pairs) if pair[0] == i]
            missing = sum(usual[level[k]] - shared[k] for k in mine)
            spread = sum(usual[level[k]] * (1 - usual[level[k]]) for k in mine) / 64 + 1e-3 * len(mine)
            assert values[i] == pytest.approx(missing / math.sqrt(spread), abs=1e-6)

    def test_nobody_shares_anything(self) -> None:
        values = LAKE_SIGNALS["overlap_deficit"].values(lake([[0] * 20] * 8))
        np.testing.assert_allclose(values, 0, atol=1e-9)

    def test_shared_prompts_are_counted(self) -> None:
        accounts = lake([[0] * 4, [0] * 4, [0] * 2], prompts=[[1, 2, 3, 3], [3, 9, 10, 1], [50, 51]])
        assert LAKE_SIGNALS["shared_prompts"].values(accounts).tolist() == pytest.approx([2 / 3, 2 / 4, 0])


class TestPeers:
    def test_parameters_of_peers_against_those_of_anybody(self) -> None:
        kinds = [{0: 30}] * 21 + [{1: 10, 2: 20}] * 21
        accounts = lake([[0] * 30] * 21 + [[5] * 30] * 21, askable={"sampling_hashed_count": kinds})
        values = LAKE_SIGNALS["peer_sampling"].values(accounts)
        # All 20 peers alike (1); of the 41 others 20 are alike and 21 share nothing.
        np.testing.assert_allclose(values, 1 - 20 / 41, atol=1e-9)

    def test_what_was_never_logged_has_no_value(self) -> None:
        assert np.isnan(LAKE_SIGNALS["peer_agents"].values(lake([[0] * 30] * 4))).all()

    def test_synchronous_accounts(self) -> None:
        rng = np.random.default_rng(8)
        together = rng.poisson(3, 48)
        activity = np.stack([together] * 21 + [rng.poisson(3, 48) for _ in range(21)])
        accounts = lake([[0] * 30] * 21 + [[5] * 30] * 21, activity=activity)
        values = LAKE_SIGNALS["peer_synchrony"].values(accounts)
        assert values[:21].min() > 0.5 > values[21:].max()
        assert np.isnan(LAKE_SIGNALS["peer_synchrony"].values(replace(accounts, activity=None))).all()

    def test_synchrony_with_plain_loops(self, accounts: LakeAccounts) -> None:
        busy = np.log1p(accounts.activity)
        rest = busy - busy.mean(axis=1, keepdims=True)
        rest = rest - rest.mean(axis=0)
        values = LAKE_SIGNALS["peer_synchrony"].values(accounts)
        for i in np.flatnonzero(~np.isnan(values))[:5]:
            expected = np.mean([np.corrcoef(rest[i], rest[j])[0, 1] for j in accounts.peers[0][i] if j >= 0])
            assert values[i] == pytest.approx(expected, abs=1e-6)

    def test_a_peers_copy_of_a_prompt_is_not_nearness(self) -> None:
        # Four peers send the very prompts of the first account.
        accounts = lake([[0] * 20] * 5, prompts=[list(range(20))] * 5)
        x = np.tile(np.random.default_rng(4).integers(-40, 40, (20, 384)).astype(np.int8), (5, 1))
        sample = replace(accounts.sample, vectors=x)
        known = LAKE_SIGNALS["own_against_peers"].values(replace(accounts, sample=sample))
        assert abs(known[0]) < 0.2
        blind = replace(accounts, sample=replace(sample, prompt=np.full(100, -1)))
        assert LAKE_SIGNALS["own_against_peers"].values(blind)[0] < -3

    def test_a_value_against_those_of_the_peers(self, accounts: LakeAccounts) -> None:
        values = np.random.default_rng(3).normal(size=len(accounts))
        values[::5] = np.nan
        got = accounts.against_peers(values)
        for i in range(len(accounts)):
            peers = [j for j in accounts.peers[0][i] if j >= 0]
            if np.isnan(values[i]) or not peers:
                assert np.isnan(got[i])
            else:
                assert got[i] == pytest.approx(values[i] - np.nanmean(values[peers]))

    def test_narrowness_and_sharing_against_the_peers(self, accounts: LakeAccounts) -> None:
        for name, values in (
            ("coherence_against_peers", readings.mean_pairwise_cosine(accounts.profiles)),
            ("shared_against_peers", LAKE_SIGNALS["shared_prompts"].values(accounts)),
        ):
            got = LAKE_SIGNALS[name].values(accounts)
            for i in np.flatnonzero(~np.isnan(got)):
                peers = [values[j] for j in accounts.peers[0][i] if j >= 0]
                assert got[i] == pytest.approx(values[i] - np.mean(peers), abs=1e-6), name

    def test_own_against_peers_with_plain_loops(self, accounts: LakeAccounts) -> None:
        got = LAKE_SIGNALS["own_against_peers"].values(accounts)
        sample, kept = accounts.sample, accounts.first_prompts
        by_account = [[i for i in kept.tolist() if sample.owner[i] == a] for a in range(len(accounts))]
        checked = 0
        for a in np.flatnonzero(~np.isnan(got))[:4]:
            mine = by_account[a]
            pool = [i for p in accounts.peers[0][a] if p >= 0 for i in by_account[p]]
            others = [pool[k * len(pool) // (len(mine) - 1)] for k in range(len(mine) - 1)]
            logs = []
            for i in mine:
                v = sample.vectors[i].astype(np.float64)
                own = max(v @ sample.vectors[j].astype(np.float64) for j in mine if j != i)
                outside = [
                    v @ sample.vectors[j].astype(np.float64)
                    for j in others
                    if sample.prompt[j] != sample.prompt[i]
                ]
                near = [max(1 - best / (v @ v), 1e-3) for best in (own, max(outside))]
                logs.append(math.log(near[1] / near[0]))
            assert got[a] == pytest.approx(np.median(logs), abs=1e-6)
            checked += 1
        assert checked == 4

    def test_a_draw_from_the_common_corpus_is_as_near_to_its_peers_as_to_itself(self) -> None:
        rng = np.random.default_rng(9)
        names = [rng.choice(6, 40).tolist() for _ in range(22)]
        values = LAKE_SIGNALS["own_against_peers"].values(lake(names))
        assert abs(np.median(values)) < 0.2


def test_new_models_count_from_their_release() -> None:
    models = [[0] * 40, [0] * 20 + [7] * 20, [0] * 30 + [7] * 5 + [0] * 5]
    values = LAKE_SIGNALS["new_model_share"].values(lake([[0] * 40] * 3, models=models))
    assert values.tolist() == [0.0, 1.0, 0.25]
    assert np.isnan(LAKE_SIGNALS["new_model_share"].values(lake([[0] * 40] * 3))).all()


def test_higher_criticism_of_a_broad_excess() -> None:
    rng = np.random.default_rng(10)
    everybody = [rng.choice(12, 50).tolist() for _ in range(20)]
    other = [(12 + rng.choice(12, 50)).tolist()]
    values = LAKE_SIGNALS["cell_higher_criticism"].values(lake([*everybody, *other]))
    assert values[20] > np.nanmax(values[:20])
