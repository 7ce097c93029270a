"""Content signals: exact sums, against plain references, and silent where their figures do not apply."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.detectors.robust import RobustDetector
from pipeline.fit.likeness import HARVESTED, ORDINARY, Sums, fit, kernel_mean
from pipeline.kernels.kernel_mean import cosines
from pipeline.parameters import AMPLITUDE, Parameters
from pipeline.profiles.schema import FEATURES
from pipeline.signals import SIGNALS, Context
from pipeline.signals.content import CONTENT, LIKENESS_FILE, ReferenceContent, reference_content
from pipeline.signals.every import FAMILY
from pipeline.simulate.content import default_topics
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from pipeline.profiles import Profiles


def prompts(source: str, count: int, seed: int = 1) -> np.ndarray:
    """Simulated prompts of a source, int8[count, 384]."""
    topics = default_topics()
    rng = np.random.default_rng(seed)
    component = rng.choice(topics.components(source), count)
    place, prompt = (rng.integers(0, 2**63, count).astype(np.uint64) for _ in range(2))
    return topics.vectors(component, place, prompt)


def profile(vectors: np.ndarray) -> Profiles:
    parameters = Parameters.default()
    one = kernel_mean(vectors, parameters).profile(parameters)
    one.embedding_sum[0] = vectors.astype(np.int64).sum(axis=0)
    return one.replace_keys(np.array(["a"], object), np.zeros(1, np.int64))


def value(name: str, profiles: Profiles) -> float:
    return float(SIGNALS[name].compute(profiles, Context())[0])


def test_likeness_is_the_mean_score_of_the_prompts() -> None:
    vectors, content = prompts("gsm8k", 60), reference_content()
    each = vectors.astype(np.float64) @ content.weights / content.unit + content.offset
    assert value("harvest_likeness", profile(vectors)) == pytest.approx(each.mean(), abs=1e-9)


def test_sources_lie_where_they_were_put() -> None:
    high = [value("harvest_likeness", profile(prompts(name, 100))) for name in HARVESTED]
    low = [value("harvest_likeness", profile(prompts(name, 100))) for name in ORDINARY]
    assert min(high) > max(low)


def test_distances_are_the_smallest_plain_ones() -> None:
    vectors, content = prompts("snips", 80), reference_content()
    parameters = Parameters.default()

    def features(rows: np.ndarray) -> np.ndarray:
        offset = 64 * parameters.phase.astype(np.int32) + 32
        product = rows.astype(np.float64) @ parameters.features.astype(np.float64)
        return (
            cosines(product, offset, parameters.cos_table.astype(np.float64), xp=np)
            * np.sqrt(2 / FEATURES)
            / AMPLITUDE
        )

    mine = features(vectors)
    inside = ((mine.sum(0) ** 2).sum() - 80) / (80 * 79)
    for name, side in (("harvest_mmd2", content.harvests), ("nearest_class_mmd2", content.ordinary)):
        plain = []
        for each in side.values():
            mean = np.array(each.kernel_mean) / each.records / AMPLITUDE * np.sqrt(2 / FEATURES)
            other = (each.records * (mean**2).sum() - 1) / (each.records - 1)
            plain.append(inside + other - 2 * mine.mean(0) @ mean)
        assert value(name, profile(vectors)) == pytest.approx(min(plain), abs=1e-9)
    assert value("nearest_class_mmd2", profile(vectors)) < value("harvest_mmd2", profile(vectors))


def test_other_embeddings_have_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    one = profile(prompts("snips", 20))
    other = replace(reference_content(), model="another", parameters="0" * 32)
    monkeypatch.setattr("pipeline.signals.content.reference_content", lambda: other)
    monkeypatch.setattr("pipeline.signals.harvest_likeness.reference_content", lambda: other)
    for name in CONTENT:
        assert np.isnan(value(name, one)), name
    assert other.fits(EmbeddingSpace("another", 384))


def test_figures_come_back_from_json_and_name_their_corpora() -> None:
    content = reference_content()
    again = ReferenceContent.from_json(json.loads(json.dumps(content.to_json({}))))
    np.testing.assert_array_equal(again.weights, content.weights)
    assert again.harvests == content.harvests
    assert (set(content.harvests), set(content.ordinary)) == (set(HARVESTED), set(ORDINARY))
    assert content.parameters == Parameters.default().fingerprint
    assert LIKENESS_FILE.stat().st_size < 50_000


def test_the_fit_separates_and_forgets_what_is_left_out() -> None:
    rng = np.random.default_rng(2)
    sums = {
        name: Sums.of(
            np.rint(
                rng.normal(20 * (1 if name in HARVESTED else -1) * (np.arange(8) == k % 8), 5, (300, 8))
            ).astype(np.int8)
        )
        for k, name in enumerate((*HARVESTED, *ORDINARY))
    }
    weights, offset = fit(sums)
    assert all(sums[name].mean @ weights + offset > 0 for name in HARVESTED)
    assert all(sums[name].mean @ weights + offset < 0 for name in ORDINARY)
    changed = {
        **sums,
        "snips": Sums.of(np.full((300, 8), 9, np.int8) + rng.integers(0, 3, (300, 8)).astype(np.int8)),
    }
    np.testing.assert_array_equal(fit(sums, ["snips"])[0], fit(changed, ["snips"])[0])
    assert np.abs(fit(sums)[0] - fit(changed)[0]).max() > 1e-6


def test_content_is_its_own_family_and_the_scorecard_does_not_know_it() -> None:
    assert {name for name, family in FAMILY.items() if family == "content"} == set(CONTENT)
    assert not set(CONTENT) & set(RobustDetector().scorecard.curves)
