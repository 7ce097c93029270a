"""Kinds and surroundings that the simulator does not know."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.evaluate import beyond
from pipeline.evaluate.worlds import EvaluationSettings, EvaluationWorld, build_evaluation_world

SETTINGS = EvaluationSettings(accounts=400, records=60, seed=21, attack_share=0.25, days=3)


@pytest.fixture(scope="module")
def worlds() -> list[EvaluationWorld]:
    return [build_evaluation_world(replace(SETTINGS, seed=seed)) for seed in (3, 4, 8)]


def records(world: EvaluationWorld, accounts: list[str]) -> pa.Table:
    wanted = pa.array(accounts, pa.string())
    parts = (part.filter(pc.is_in(part["account_id"], wanted)) for part in world.tables())
    return pa.concat_tables(parts).drop_columns(["embedding"])


def test_every_kind_occurs_and_is_on_its_side(worlds: list[EvaluationWorld]) -> None:
    sides = {each.kind: each.attack for world in worlds for each in world.truth}
    honest = {"catalogue_job", "translation_job", "data_builder", "regression_suite", "ab_test"}
    assert honest | {"office_harvest", "answers_harvest", "hydra_scattered"} <= set(sides)
    assert not any(sides[kind] for kind in honest)
    assert all(sides[kind] for kind in ("office_harvest", "answers_harvest", "hydra_scattered"))
    plain = build_evaluation_world(replace(SETTINGS, beyond=False)).truth
    assert not (honest | {"hydra_scattered"}) & {each.kind for each in plain}
    assert not any(each.campus for each in plain)


def test_members_of_a_scattered_hydra_share_nothing(worlds: list[EvaluationWorld]) -> None:
    def shared(kind: str, column: str) -> float:
        """Of pairs of members of one campaign, the share that has a value in common."""
        hits = pairs = 0
        for world in worlds:
            campaigns: dict[str, list[str]] = {}
            for each in world.truth:
                if each.kind == kind and each.campaign:
                    campaigns.setdefault(each.campaign, []).append(each.account_id)
            for members in campaigns.values():
                table = records(world, members[:8])
                sets = [
                    set(pc.unique(table.filter(pc.equal(table["account_id"], name))[column]).to_pylist())
                    - {None}
                    for name in members[:8]
                ]
                for i, one in enumerate(sets):
                    for other in sets[i + 1 :]:
                        pairs += 1
                        hits += bool(one & other)
        assert pairs, kind
        return hits / pairs

    for column in ("prompt_hash", "template_hash", "system_prompt_hash", "payment_id"):
        assert shared("hydra_scattered", column) == 0.0, column
    # Popular networks are everybody's.
    assert shared("hydra_scattered", "client_network") < 0.3
    assert shared("hydra", "payment_id") > 0
    assert shared("hydra", "client_network") > 0.2


def test_a_campus_shares_networks_and_payment(worlds: list[EvaluationWorld]) -> None:
    for world in worlds:
        mine = [i for i, each in enumerate(world.truth) if each.campus]
        assert mine
        assert not any(world.truth[i].attack for i in mine)
        assert {world.truth[i].kind for i in mine} <= {*beyond.CAMPUS_KINDS, "regression_suite"}
        groups = Counter(world.world.organization_ids[i] for i in mine)
        assert min(groups.values()) >= 2
        table = records(world, [world.truth[i].account_id for i in mine])
        known = table.filter(pc.is_valid(table["client_network"]))
        networks = {
            row["account_id"]: set(row["client_network_list"])
            for row in known.group_by("account_id").aggregate([("client_network", "list")]).to_pylist()
        }
        organization = dict(zip(world.world.account_ids, world.world.organization_ids, strict=True))
        common = [
            bool(networks[a] & networks[b])
            for a in networks
            for b in networks
            if a < b and organization[a] == organization[b]
        ]
        assert np.mean(common) > 0.5


def test_jobs_do_what_they_are_called(worlds: list[EvaluationWorld]) -> None:
    def repeats(kind: str) -> list[float]:
        """Records for each different prompt."""
        found = []
        for world in worlds:
            table = records(world, [each.account_id for each in world.truth if each.kind == kind])
            counted = [("prompt_hash", "count"), ("prompt_hash", "count_distinct")]
            rows = table.group_by("account_id").aggregate(counted).to_pylist()
            found += [row["prompt_hash_count"] / row["prompt_hash_count_distinct"] for row in rows]
        return found

    assert np.median(repeats("catalogue_job")) < 1.2
    assert max(repeats("translation_job")) > 1.9
    # Both versions get every prompt; popular ones come more often.
    assert min(repeats("ab_test")) > 1.5
    answers = [
        world.world.number["answers"][world.world.account == i].max()
        * world.world.number["choices"][world.world.account == i].max()
        for world in worlds
        for i, each in enumerate(world.truth)
        if each.kind == "answers_harvest"
    ]
    assert answers
    assert set(answers) == {4.0}


def test_wide_specialists_cover_their_sources() -> None:
    def topics(world: EvaluationWorld) -> float:
        mine = [i for i, each in enumerate(world.truth) if each.specialist]
        inner = world.world
        used = [
            len(np.unique(inner.mixtures[inner.mixture[np.flatnonzero(inner.account == i)[0]]])) for i in mine
        ]
        return float(np.median(used))

    narrow = build_evaluation_world(SETTINGS)
    wide = build_evaluation_world(replace(SETTINGS, wide_specialists=True))
    assert topics(wide) > 1.5 * topics(narrow)
    assert [each.account_id for each in wide.truth] == [each.account_id for each in narrow.truth]


def test_thin_hydras_have_too_few_records_each() -> None:
    settings = replace(SETTINGS, attacks=("hydra", "hydra_covered"), thin_hydras=True)
    world = build_evaluation_world(settings)
    hydras = [each for each in world.truth if each.attack]
    assert hydras
    assert all(each.kind.startswith("hydra") and 12 <= each.records <= 45 for each in hydras)
    sent = Counter(records(world, [each.account_id for each in hydras])["account_id"].to_pylist())
    assert sent == {each.account_id: each.records for each in hydras}
