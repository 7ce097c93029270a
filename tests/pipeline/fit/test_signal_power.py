"""The measuring script: areas against all pairs, and that a world's ranks are the ranks of its signals."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.fit.signal_power import (
    COMPARISONS,
    LEFT_OUT,
    SPECIALISTS,
    WorldRanks,
    area,
    command,
    mid_ranks,
    pooled_area,
    power_settings,
    together,
    world_ranks,
)
from pipeline.signals.every import EVERY
from pipeline.simulate.world import WorldSettings


@pytest.fixture(scope="module")
def world() -> WorldRanks:
    return world_ranks(WorldSettings(records=6000, accounts=50, seed=90_950, attack_share=0.3, days=5))


def test_area_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 9, 30).astype(float), rng.integers(0, 9, 40).astype(float)
    one[:3] = np.nan
    pairs = [(a > b) + 0.5 * (a == b) for a in one[3:] for b in two]
    assert area(one, two) == pytest.approx(np.mean(pairs))
    assert np.isnan(area(one[:3], two))


def test_mid_ranks_share_ties_and_leave_out_what_is_unknown() -> None:
    got = mid_ranks(np.array([5.0, np.nan, 5.0, 1.0, 9.0]))
    np.testing.assert_allclose(got, [0.5, np.nan, 0.5, 0.125, 0.875])


def test_half_of_the_worlds_have_shuffled_roles_and_seeds_are_their_own() -> None:
    settings = power_settings(4, 90_000, 100)
    assert [s.randomise for s in settings] == [False, True, False, True]
    assert [s.seed for s in settings] == [90_000, 90_001, 90_002, 90_003]


def test_a_world_has_all_signals(world: WorldRanks) -> None:
    assert list(world.ranks) == [*EVERY, *LEFT_OUT]
    for name, ranks in world.ranks.items():
        known = ranks[~np.isnan(ranks)]
        assert len(ranks) == len(world.kind)
        assert world.known[name] == pytest.approx(len(known) / len(ranks))
        if len(known):
            assert known.mean() == pytest.approx(0.5)


def test_a_comparison_is_of_its_own_accounts(world: WorldRanks) -> None:
    name = "own_collisions"
    up = world.attack
    down = ~world.attack & np.isin(world.kind, list(SPECIALISTS))
    expected = area(world.ranks[name][up], world.ranks[name][down])
    assert pooled_area([world], name, None, SPECIALISTS) == pytest.approx(expected)


def test_signals_together_find_what_one_of_them_shows() -> None:
    rng = np.random.default_rng(1)
    worlds = []
    for seed in range(3):
        attack = rng.random(200) < 0.2
        kind = np.where(attack, "hydra", np.where(rng.random(200) < 0.5, "tutoring", "researcher")).astype(
            object
        )
        ranks = {"shows": mid_ranks(attack + rng.normal(size=200)), "noise": mid_ranks(rng.normal(size=200))}
        worlds.append(WorldRanks(WorldSettings(seed=seed), ranks, {}, kind, attack, {}))
    alone = pooled_area(worlds, "shows", None, None)
    assert together(worlds, ["shows", "noise"])[0] == pytest.approx(alone, abs=0.08)
    assert abs(together(worlds, ["noise"])[0] - 0.5) < 0.15


def test_prints_every_signal() -> None:
    result = CliRunner().invoke(command, ["--worlds", "1", "--accounts", "60"])
    assert result.exit_code == 0, result.output
    for name in EVERY:
        assert f"| {name} |" in result.output
    assert all(title in result.output for title, _, _ in COMPARISONS)
