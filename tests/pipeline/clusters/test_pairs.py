from __future__ import annotations

import numpy as np
import pytest

from pipeline.clusters import pairs
from pipeline.clusters.pairs import PAIR_SIGNALS, PairReader, expected_overlap, pool_sizes


@pytest.fixture
def reader(lake) -> PairReader:
    return PairReader(lake.ties(), lake.payments)


def rows(reader: PairReader, *names: str) -> np.ndarray:
    place = {name: i for i, name in enumerate(reader.ties.account_id)}
    return np.array([place[name] for name in names], np.int64)


def test_a_pair_is_the_same_from_both_ends(reader: PairReader) -> None:
    rng = np.random.default_rng(1)
    one, two = rng.integers(0, len(reader.ties), (2, 300))
    there, back = reader.signals(one, two), reader.signals(two, one)
    assert list(there) == list(PAIR_SIGNALS)
    for name in PAIR_SIGNALS:
        np.testing.assert_allclose(there[name], back[name], atol=2e-6, err_msg=name)


def test_blocks_and_company_do_not_matter(reader: PairReader) -> None:
    one, two = rows(reader, "hydra-00", "bot-03"), rows(reader, "hydra-05", "user-007")
    alone = [reader.signals(one[i : i + 1], two[i : i + 1]) for i in range(2)]
    both = reader.signals(one, two)
    for name in PAIR_SIGNALS:
        np.testing.assert_array_equal(both[name], np.concatenate([each[name] for each in alone]))


def test_the_hydra_misses_overlap_and_bots_of_one_list_have_it(reader: PairReader) -> None:
    hydra = reader.signals(rows(reader, "hydra-00"), rows(reader, "hydra-01"))
    bots = reader.signals(rows(reader, "bot-00"), rows(reader, "bot-01"))
    assert hydra["overlap"][0] == 0
    assert bots["overlap"][0] > 0.6
    # Bots of one list share what users of one pool share, and more, as its first questions are the popular ones.
    assert bots["overlap_deficit"][0] < 1
    assert hydra["same_sampling"][0] > 2
    assert np.exp(hydra["rare_networks"][0]) >= 1


def test_shared_values_are_counted_as_sets_say(reader: PairReader) -> None:
    ties = reader.ties
    sketches = ties.hashes[:, 2]
    users: dict[int, set[int]] = {}
    for i, row in enumerate(sketches):
        for value in row[row != np.uint64(2**64 - 1)].tolist():
            users.setdefault(value, set()).add(i)
    one, two = (
        rows(reader, "hydra-00", "hydra-00", "bot-00"),
        rows(reader, "hydra-04", "hydra-03", "user-000"),
    )
    plain = [
        sum({a, b} <= who and len(who) <= 32 for who in users.values()) for a, b in zip(one, two, strict=True)
    ]
    assert plain == [1, 1, 0]
    np.testing.assert_allclose(np.expm1(reader.signals(one, two)["rare_networks"]), plain)


def test_what_everybody_has_ties_nobody() -> None:
    sketches = np.full((50, 64), 2**64 - 1, np.uint64)
    sketches[:, 0] = 7  # of all
    sketches[:33, 1] = 8  # of one too many
    sketches[:32, 2] = 9
    rare = pairs._shared_values(sketches, 32)
    assert rare.sum() == 32
    assert pairs._shared_values(sketches, None).sum() == 50 + 33 + 32


def test_expected_overlap_is_that_of_two_users_of_one_pool() -> None:
    rng = np.random.default_rng(4)
    for pool, n, m in ((100, 80, 150), (1000, 300, 200)):
        seen = []
        for _ in range(200):
            one, two = set(rng.integers(0, pool, n).tolist()), set(rng.integers(0, pool, m).tolist())
            size = pool_sizes(np.array([float(len(one))]), np.array([float(n)]))
            guess = expected_overlap(np.array([float(len(one))]), np.array([float(len(two))]), size)[0]
            seen.append((len(one & two) / len(one | two), guess))
        real, guessed = np.mean(seen, axis=0)
        assert abs(real - guessed) < 0.03


def test_without_repeats_nothing_is_expected() -> None:
    assert pool_sizes(np.array([50.0]), np.array([50.0]))[0] == np.inf
    assert expected_overlap(np.array([50.0]), np.array([50.0]), np.array([np.inf]))[0] == 0


def test_noise_is_taken_out_of_cosines(reader: PairReader) -> None:
    """Members of a hydra have 25 records each over a wide mixture: plain cosines are far below 1, corrected ones are not."""
    names = [f"hydra-{i:02d}" for i in range(12)]
    one, two = (rows(reader, *(names[i] for i in side)) for side in np.triu_indices(12, 1))
    sums = reader.ties.embedding_sum.astype(np.float64)
    plain = (
        (sums[one] * sums[two]).sum(1) / np.linalg.norm(sums[one], axis=1) / np.linalg.norm(sums[two], axis=1)
    )
    corrected = reader.signals(one, two)["cosine"]
    assert plain.mean() < 0.93
    assert abs(corrected.mean() - 1) < 0.06


def test_what_was_not_sent_is_no_evidence(lake) -> None:
    ties = lake.ties()
    ties.cells[:, 256 + 96 + 84 :] = 0
    ties.hashes[:] = 2**64 - 1
    found = PairReader(ties, {}).signals(np.array([0, 1]), np.array([2, 3]))
    for name in (
        "overlap",
        "overlap_deficit",
        "shared_payment",
        "same_sampling",
        "same_agents",
        "rare_networks",
    ):
        assert np.isnan(found[name]).all(), name
    assert not np.isnan(found["topic_distance"]).any()
