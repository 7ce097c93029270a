"""Fitting constants: the same files give the same bytes, and no source takes the codebook."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.errors import UsageError
from pipeline.fit import codebook, parameters
from pipeline.fit.corpus import Corpus, read_corpus
from pipeline.parameters import Parameters
from pipeline.spaces import EmbeddingSpace

SPACE = EmbeddingSpace("toy", 16)


def write(folder, name, vectors):
    column = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(vectors.shape[1]), len(vectors), [None, pa.py_buffer(np.ascontiguousarray(vectors))]
    )
    pq.write_table(pa.table({"embedding": column}), folder / f"{name}.parquet")


@pytest.fixture
def folder(tmp_path, vectors_of):
    """Three sources: a large narrow one, and two small broad ones."""
    rng = np.random.default_rng(0)
    center = vectors_of(rng, 1, SPACE).astype(float)
    narrow = center * 3 + vectors_of(rng, 3000, SPACE)
    narrow *= SPACE.scale / np.linalg.norm(narrow, axis=1, keepdims=True)
    write(tmp_path, "narrow", np.clip(np.rint(narrow), -127, 127).astype(np.int8))
    write(tmp_path, "one", vectors_of(rng, 400, SPACE))
    write(tmp_path, "two", vectors_of(rng, 300, SPACE))
    return tmp_path


def test_corpus_is_read_in_order_and_capped_evenly(folder):
    corpus = read_corpus(folder, "toy")
    assert corpus.space == SPACE
    assert corpus.names == ("narrow", "one", "two")
    assert [len(corpus.rows_of(name)) for name in corpus.names] == [3000, 400, 300]
    capped = corpus.balanced(350)
    assert [len(capped.rows_of(name)) for name in corpus.names] == [350, 350, 300]
    assert np.array_equal(capped.rows_of("two"), corpus.rows_of("two"))
    assert np.array_equal(capped.rows_of("narrow")[-1], corpus.rows_of("narrow")[3000 * 349 // 350])


def test_both_commands_and_the_same_bytes_twice(folder, tmp_path):
    contents = []
    for number in (1, 2):
        centroids, out = tmp_path / f"{number}.npy", tmp_path / f"{number}.npz"
        common = ["--embeddings", str(folder), "--model", "toy"]
        first = CliRunner().invoke(codebook.main, [*common, "--cap", "300", "--output", str(centroids)])
        assert first.exit_code == 0, first.output
        assert "topics_used" in first.output
        second = CliRunner().invoke(
            parameters.main, [*common, "--codebook", str(centroids), "--output", str(out)]
        )
        assert second.exit_code == 0, second.output
        assert "narrow / one" in second.output
        contents.append(out.read_bytes())
    assert contents[0] == contents[1]
    assert Parameters.load(out).space == SPACE


def test_codebook_is_balanced_over_sources(folder):
    corpus = read_corpus(folder, "toy")

    def led_by_narrow(cap):
        centroids = codebook.fit_codebook(corpus.balanced(cap), rounds=8)
        assert len(np.unique(centroids, axis=0)) > 200
        return codebook.balance(corpus, centroids)["topics_led_by_source"]["narrow"]

    assert led_by_narrow(300) < led_by_narrow(3000)


def test_topics_are_not_made_of_nothing(vectors_of):
    def corpus(q):
        return Corpus(SPACE, ("x",), q, np.zeros(len(q), dtype=np.int64))

    q = vectors_of(np.random.default_rng(1), 40, SPACE)
    with pytest.raises(UsageError, match="40 embeddings cannot make 256 topics"):
        codebook.fit_codebook(corpus(q))
    # Enough records, but few different ones: topics are left over and get a record each.
    centroids = codebook.fit_codebook(corpus(np.repeat(q, 10, axis=0)), rounds=3)
    assert (centroids.astype(int) ** 2).sum(axis=1).min() > 0.8 * SPACE.norm2
    Parameters.generate(SPACE, codebook=centroids)


def test_nearest_equals_a_loop(vectors_of):
    rng = np.random.default_rng(2)
    q, centroids = vectors_of(rng, 50, SPACE), vectors_of(rng, 9, SPACE)
    centroids[7] = centroids[2]
    index, best = codebook.nearest(q, centroids)
    for row, chosen, score in zip(q.astype(int), index, best, strict=True):
        scores = [int(row @ c) for c in centroids.astype(int)]
        assert (chosen, score) == (scores.index(max(scores)), max(scores))


def test_median_distance_of_orthogonal_vectors():
    corpus = Corpus(
        SPACE, ("x",), (np.eye(16) * round(SPACE.scale)).astype(np.int8), np.zeros(16, dtype=np.int64)
    )
    assert parameters.median_distance(corpus) == pytest.approx(2**0.5, abs=1e-3)


def test_integers_cost_little_against_floats(folder):
    corpus = read_corpus(folder, "toy")
    made = Parameters.generate(SPACE, median_distance=1.2)
    pairs = parameters.kernel_mean_error(corpus, made, "distillwatch", 1.2)
    assert len(pairs) == 3
    for pair in pairs.values():
        assert pair["integer"] == pytest.approx(pair["float"], rel=0.03)
    assert pairs["narrow / one"]["kernel"] == pytest.approx(pairs["narrow / one"]["float"], rel=0.4)


def test_unusable_folders_are_refused(tmp_path, vectors_of):
    with pytest.raises(UsageError, match="has no Parquet files"):
        read_corpus(tmp_path)
    write(tmp_path, "a", vectors_of(np.random.default_rng(0), 3, SPACE))
    write(tmp_path, "b", vectors_of(np.random.default_rng(0), 3, EmbeddingSpace("toy", 24)))
    with pytest.raises(UsageError, match=r"differ in dimension: \[16, 24\]"):
        read_corpus(tmp_path)
    pq.write_table(pa.table({"embedding": [1.0]}), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match=r"b\.parquet: column embedding is double"):
        read_corpus(tmp_path)
