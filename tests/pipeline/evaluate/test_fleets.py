"""Honest fleets in evaluation worlds: who is in one, what its accounts share, and that nobody else is moved."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from pipeline.evaluate import edits
from pipeline.evaluate.groups import SHARDS
from pipeline.evaluate.worlds import EvaluationSettings, EvaluationWorld, build_evaluation_world

SETTINGS = EvaluationSettings(accounts=500, records=60, seed=71, attack_share=0.1)


@pytest.fixture(scope="module")
def plain() -> EvaluationWorld:
    return build_evaluation_world(SETTINGS)


@pytest.fixture(scope="module")
def fleets() -> EvaluationWorld:
    return build_evaluation_world(replace(SETTINGS, fleet_share=0.3))


def test_nobody_is_in_a_fleet_unless_asked_for(plain: EvaluationWorld) -> None:
    assert not any(each.fleet for each in plain.truth)


def test_about_so_many_of_the_benign_and_no_attacker_are(fleets: EvaluationWorld) -> None:
    benign = [each for each in fleets.truth if not each.attack]
    assert 0.2 <= np.mean([each.fleet for each in benign]) <= 0.4
    assert not any(each.fleet for each in fleets.truth if each.attack)


def test_attackers_stay_as_they_are(plain: EvaluationWorld, fleets: EvaluationWorld) -> None:
    assert [each for each in plain.truth if each.attack] == [each for each in fleets.truth if each.attack]
    account = [each.account_id for each in plain.truth]
    assert account == [each.account_id for each in fleets.truth]
    one, other = plain.world, fleets.world
    for row, each in enumerate(plain.truth):
        if each.attack:
            assert one.payment_ids[row] == other.payment_ids[row]
            for stream in edits.streams_of(one)[row].tolist():
                assert one.counts[stream] == other.counts[stream]
                assert np.array_equal(one.networks[stream], other.networks[stream])
                assert all(
                    values[stream] == other.number[name][stream] for name, values in one.number.items()
                )


def test_its_accounts_do_the_same_and_mostly_share_surroundings(fleets: EvaluationWorld) -> None:
    world, streams = fleets.world, edits.streams_of(fleets.world)
    mine = [i for i, each in enumerate(fleets.truth) if each.fleet]
    # What a stream asks about is its mixture: drawn for every account alone, and one for all of a fleet.
    alike = Counter(world.mixture[int(streams[i][0])].tobytes() for i in mine)
    assert min(alike.values()) >= 3
    paying = Counter(world.payment_ids[i] for i in mine)
    assert sum(count for count in paying.values() if count >= 3) >= 0.3 * len(mine)
    jobs = [i for i in mine if fleets.truth[i].kind in SHARDS]
    assert jobs
    # Workers of one job go through it from different places.
    starts = {(int(world.pool[int(streams[i][0])]), int(world.pool_start[int(streams[i][0])])) for i in jobs}
    assert len(starts) >= len(jobs) - len(alike)


def test_the_records_are_those_of_the_truth(fleets: EvaluationWorld) -> None:
    counted = Counter(
        account for table in fleets.tables() for account in table.column("account_id").to_pylist()
    )
    assert {each.account_id: each.records for each in fleets.truth} == dict(counted)
