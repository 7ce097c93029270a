"""Kinds that no fit knows: they occur, on their side, with the habits that make them what they are, and in no fit."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pipeline.evaluate.worlds as worlds_module
import pipeline.fit
from pipeline.evaluate.unseen import UNSEEN
from pipeline.evaluate.worlds import (
    EvaluationSettings,
    EvaluationWorld,
    build_evaluation_world,
    leave_one_kind_out,
    leave_one_source_out,
)
from pipeline.fit.labelled import WORLD_CODE
from pipeline.simulate.kinds import ATTACKS, BENIGN

SETTINGS = EvaluationSettings(accounts=500, records=60, attack_share=0.25, days=3)
ASKED = replace(SETTINGS, unseen=True)


@pytest.fixture(scope="module")
def worlds() -> list[EvaluationWorld]:
    return [build_evaluation_world(replace(SETTINGS, seed=seed, unseen=True)) for seed in (3, 4, 8)]


def test_every_kind_occurs_on_the_side_of_the_one_it_is_made_of(worlds: list[EvaluationWorld]) -> None:
    sides = {each.kind: each.attack for world in worlds for each in world.truth}
    for name, kind in UNSEEN.items():
        assert sides[name] == (kind.old in ATTACKS), name
        assert kind.old in {*ATTACKS, *BENIGN}


def test_nobody_is_of_them_unless_asked_for_and_the_others_stay(worlds: list[EvaluationWorld]) -> None:
    for world in worlds:
        plain = build_evaluation_world(replace(world.settings, unseen=False)).truth
        assert not set(UNSEEN) & {each.kind for each in plain}
        assert [each.account_id for each in plain] == [each.account_id for each in world.truth]
        changed = Counter(
            (one.kind, other.kind)
            for one, other in zip(plain, world.truth, strict=True)
            if one.kind != other.kind and not one.kind.startswith("diluted")
        )
        assert {(UNSEEN[new].old, new) for new in UNSEEN} == {pair for pair in changed if pair[1] in UNSEEN}


def test_their_habits_show_in_their_records(worlds: list[EvaluationWorld]) -> None:
    def shares(kind: str, column: str) -> list[float]:
        """Distinct values a record, of each account of the kind."""
        found = []
        for world in worlds:
            mine = {each.account_id: each.records for each in world.truth if each.kind == kind}
            seen: dict[str, set[object]] = {name: set() for name in mine}
            for table in world.tables():
                columns = (table.column(name).to_pylist() for name in ("account_id", column))
                for account, value in zip(*columns, strict=True):
                    if account in seen:
                        seen[account].add(value)
            found += [len(seen[name]) / mine[name] for name in mine]
        return found

    # What people post comes once; students ask the same again; the harvest in no order makes its templates up.
    assert np.median(shares("moderation_pipeline", "prompt_hash")) > 0.9
    assert np.median(shares("homework_app", "prompt_hash")) < 0.8
    assert np.median(shares("shuffled_harvest", "template_hash")) > 0.7
    assert np.median(shares("event_automation", "template_hash")) < 0.4


def test_broad_kinds_cover_their_sources(worlds: list[EvaluationWorld]) -> None:
    def topics(world: EvaluationWorld, kind: str) -> list[int]:
        inner = world.world
        mine = [i for i, each in enumerate(world.truth) if each.kind == kind]
        return [
            len(np.unique(inner.mixtures[inner.mixture[np.flatnonzero(inner.account == i)[0]]])) for i in mine
        ]

    broad = [n for world in worlds for n in topics(world, "search_answers")]
    narrow = [n for world in worlds for n in topics(world, "support_bot")]
    assert np.median(broad) > 1.5 * np.median(narrow)


def test_a_kept_matrix_depends_on_every_module_that_makes_worlds() -> None:
    tree = ast.parse(Path(worlds_module.__file__).read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named = {each.name for node in imported if node.module == "pipeline.evaluate" for each in node.names}
    named |= {
        node.module.rpartition(".")[2]
        for node in imported
        if node.module is not None and node.module.startswith("pipeline.evaluate.")
    }
    assert named
    assert named <= set(WORLD_CODE)


def test_no_fit_asks_for_them() -> None:
    """What is said about unseen kinds holds only as long as no model is fitted to them."""
    for split in (*leave_one_source_out(ASKED), *leave_one_kind_out(ASKED)):
        assert (split.fit.unseen, split.judge.unseen) == (False, True), split.name
    for path in sorted(Path(pipeline.fit.__path__[0]).glob("*.py")):
        assert "unseen=" not in path.read_text(), f"{path.name} sets EvaluationSettings.unseen"
        assert "turn_unseen" not in path.read_text(), path.name
