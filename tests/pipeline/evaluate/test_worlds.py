"""Evaluation worlds: what is asked for is what is there, and prompts are fresh."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.evaluate.corpora import HARVESTED_NAMES, corpus_topics, deal, load_topics
from pipeline.evaluate.plan import plan
from pipeline.evaluate.worlds import (
    BARE,
    EvaluationSettings,
    EvaluationWorld,
    build_evaluation_world,
    leave_one_source_out,
)
from pipeline.fit.topics import Corpus
from pipeline.records.grid import check_grid
from pipeline.simulate.content import default_topics, to_grid
from pipeline.simulate.mixing import mix
from pipeline.spaces import EmbeddingSpace

SETTINGS = EvaluationSettings(accounts=120, records=60, seed=7, attack_share=0.2, days=4)


@pytest.fixture(scope="module")
def world() -> EvaluationWorld:
    return build_evaluation_world(SETTINGS)


def records(world: EvaluationWorld) -> pa.Table:
    return pa.concat_tables(world.tables())


@pytest.fixture(scope="module")
def table(world: EvaluationWorld) -> pa.Table:
    return records(world)


def test_truth_counts_what_is_sent(world: EvaluationWorld, table: pa.Table) -> None:
    assert Counter(table["account_id"].to_pylist()) == {each.account_id: each.records for each in world.truth}
    assert len(world.truth) == 120
    assert sum(each.attack for each in world.truth) == 24
    assert all(each.attack_records > 0 for each in world.truth if each.attack)
    assert all(each.attack_records == 0 for each in world.truth if not each.attack)


def test_a_world_is_a_function_of_its_settings(world: EvaluationWorld, table: pa.Table) -> None:
    again = build_evaluation_world(SETTINGS)
    assert again.truth == world.truth
    assert records(again).equals(table)
    assert build_evaluation_world(replace(SETTINGS, seed=8)).truth != world.truth


def test_specialists_work_on_what_attackers_harvest(world: EvaluationWorld) -> None:
    harvested = set(world.dealt.harvested)
    specialists = [each for each in world.truth if each.specialist]
    assert specialists
    assert all(not each.attack and harvested & set(each.sources) for each in specialists)
    attackers = {source for each in world.truth if each.kind == "harvest" for source in each.sources}
    assert attackers <= harvested


def test_sizes_and_dilution_are_exact() -> None:
    settings = replace(
        SETTINGS, sizes=(50, 200), dilutions=(0.1, 0.5), attacks=("diluted",), attack_share=0.3
    )
    truth = build_evaluation_world(settings).truth
    assert {each.records for each in truth} == {50, 200}
    diluted = [each for each in truth if each.attack]
    assert {each.kind for each in diluted} == {"diluted_10", "diluted_50"}
    for each in diluted:
        assert each.attack_records == pytest.approx(int(each.kind[-2:]) / 100 * each.records, abs=1)


def test_without_metadata_only_the_required_fields_are_sent() -> None:
    table = records(build_evaluation_world(replace(SETTINGS, metadata=False)))
    for name in table.column_names:
        assert table[name].null_count == (0 if name in BARE else table.num_rows), name


def test_base_rate_zero_has_nobody_and_one_in_a_thousand_has_its_few() -> None:
    assert not any(each.attack for each in build_evaluation_world(replace(SETTINGS, attack_share=0.0)).truth)
    few = build_evaluation_world(replace(SETTINGS, accounts=500, records=20, attack_share=0.002)).truth
    assert sum(each.attack for each in few) == 1


def test_what_is_left_out_is_not_there() -> None:
    split = leave_one_source_out(SETTINGS)[0]
    fit, judge = build_evaluation_world(split.fit), build_evaluation_world(split.judge)
    assert not any(split.name in each.sources for each in fit.truth)
    assert judge.dealt.harvested == (split.name,)
    bare = build_evaluation_world(replace(SETTINGS, without_kinds=("chat", "harvest")))
    assert not {"chat", "harvest"} & {each.kind for each in bare.truth}
    only = build_evaluation_world(replace(SETTINGS, attacks=("slow_drip",)))
    assert {each.kind for each in only.truth if each.attack} == {"slow_drip"}


def test_kinds_that_the_simulator_does_not_know() -> None:
    kinds = {
        each.kind
        for seed in range(2)
        for each in build_evaluation_world(
            replace(SETTINGS, accounts=200, records=20, attack_share=0.3, seed=seed)
        ).truth
    }
    assert {"catalogue_job", "regression_suite", "office_harvest", "answers_harvest"} <= kinds
    plain = build_evaluation_world(replace(SETTINGS, beyond=False)).truth
    assert "catalogue_job" not in {each.kind for each in plain}


def test_bad_settings_say_why() -> None:
    with pytest.raises(UsageError, match="no prompts of nowhere"):
        build_evaluation_world(replace(SETTINGS, harvested=("nowhere",)))
    with pytest.raises(UsageError, match=r"attack_share is 0\.9"):
        replace(SETTINGS, attack_share=0.9)
    with pytest.raises(UsageError, match="no embeddings"):
        load_topics(Path("/nonexistent-folder"))


def test_roles_are_dealt_from_any_source() -> None:
    sources = [f"s{i}" for i in range(8)]
    dealt = [deal(sources, random.Random(seed)) for seed in range(40)]
    assert {source for each in dealt for source in each.harvested} == set(sources)
    for each in dealt:
        others = {source for name, source in each.played.items() if name not in HARVESTED_NAMES}
        assert not others & set(each.harvested)
        assert not set(each.niche) & set(each.played.values())


def corpora() -> list[Corpus]:
    topics = default_topics()
    found = []
    for name in ("gsm8k", "snips"):
        prompt = mix(np.arange(400), 5)
        component = np.resize(topics.components(name), 400)
        found.append(Corpus(name, topics.vectors(component, prompt, prompt), np.full(400, 20)))
    return found


def test_prompts_of_a_corpus_are_fresh_near_and_on_the_grid() -> None:
    source = corpora()
    topics = corpus_topics(source)
    component = np.resize(topics.components("gsm8k"), 3000)
    prompt = mix(np.arange(3000), 9)
    drawn = topics.vectors(component, prompt, prompt)
    assert not check_grid(drawn, EmbeddingSpace())
    rows = source[0].vectors
    assert not {row.tobytes() for row in drawn} & {row.tobytes() for row in rows}
    # Hardly anything twice, and always the same for the same names, whether rounded here or by the generator.
    assert len({row.tobytes() for row in drawn}) > 2970
    assert (topics.vectors(component[7:9], prompt[7:9], prompt[7:9]) == drawn[7:9]).all()
    assert np.abs(to_grid(topics.floats(component, prompt, prompt)).astype(int) - drawn).max() <= 1

    def nearest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a.astype(float), b.astype(float)))
        return (a @ b.T).max(axis=1)

    # Near their own corpus, not the other.
    assert np.median(nearest(drawn, rows)) > np.median(nearest(drawn, source[1].vectors)) + 0.2


def test_a_plan_has_every_group_with_seeds_of_its_own() -> None:
    worlds = plan(SETTINGS, seeds=(1, 2), shares=(0.05, 0.0), metadata=(True, False))
    assert len(worlds) == 8
    assert len({(settings.seed, settings.metadata) for _, settings in worlds}) == 8
    assert {label for label, _ in worlds} == {
        "5.0% attack",
        "0.0% attack",
        "5.0% attack, no metadata",
        "0.0% attack, no metadata",
    }
    sources = plan(SETTINGS, seeds=(1,), shares=(0.05,), leave_out="source")
    assert [settings.harvested for _, settings in sources] == [(name,) for name in default_topics().sources]
    with pytest.raises(UsageError, match="no worlds"):
        plan(SETTINGS, seeds=(), shares=(0.05,))
