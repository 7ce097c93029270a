"""Simulated points are a function of their names, exact in any batch, and shaped by the figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.fit.topics import read_corpora
from pipeline.simulate.content import TOPICS_FILE, default_topics
from pipeline.simulate.mixing import mix


def drawn(count: int, source: str = "gsm8k", seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    topics = default_topics()
    components = topics.components(source)
    word = mix(np.arange(count), seed)
    component = components[(word % np.uint64(len(components))).astype(int)]
    return component, mix(word, 2), mix(word, 3)


def test_a_vector_depends_on_its_names_and_not_on_its_batch() -> None:
    topics = default_topics()
    component, place, prompt = drawn(700)
    together = topics.vectors(component, place, prompt)
    order = np.random.default_rng(0).permutation(700)
    alone = np.concatenate(
        [topics.vectors(component[i : i + 1], place[i : i + 1], prompt[i : i + 1]) for i in range(0, 700, 50)]
    )
    assert (topics.vectors(component[order], place[order], prompt[order]) == together[order]).all()
    assert (alone == together[::50]).all()


def test_prompts_of_one_place_are_nearer_than_prompts_of_another() -> None:
    topics = default_topics()
    component, _, prompt = drawn(200, "clinc150")
    one = topics.vectors(component, np.full(200, 5, np.uint64), prompt).astype(float)
    same = topics.vectors(component, np.full(200, 5, np.uint64), mix(prompt, 9)).astype(float)
    other = topics.vectors(component, np.full(200, 6, np.uint64), mix(prompt, 9)).astype(float)
    assert np.linalg.norm(one - same, axis=1).mean() < 0.8 * np.linalg.norm(one - other, axis=1).mean()


def test_components_lie_around_their_centroids() -> None:
    topics = default_topics()
    component = np.full(500, int(topics.components("banking77")[0]))
    vectors = topics.vectors(component, mix(np.arange(500), 1), mix(np.arange(500), 2)).astype(float)
    centre = topics.centroid[component[0]].astype(float)
    mean = vectors.mean(axis=0)
    assert mean @ centre / np.linalg.norm(mean) / np.linalg.norm(centre) > 0.97


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(UsageError, match="no source 'news'; there are"):
        default_topics().components("news")


def test_shipped_figures_are_small_and_hold_no_single_row() -> None:
    assert TOPICS_FILE.stat().st_size < 1_500_000
    folder = Path("../shared/data/embeddings")
    if not folder.is_dir():
        pytest.skip("the embeddings that the figures were fitted on are not here")
    topics = default_topics()
    for corpus in read_corpora(folder):
        rows = {row.tobytes() for row in corpus.vectors}
        assert not [k for k in topics.components(corpus.name) if topics.centroid[k].tobytes() in rows]
