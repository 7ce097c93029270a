"""Windows against a declared pool: what moves each statistic, what a level promises, and plain references."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.detectors.windows import (
    FAR_POWER,
    FOREIGN_SHARE,
    PROFILE,
    RECORDS,
    PoolModel,
    WindowDetector,
    pool_windows,
)
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.evaluate.labrai import Pair, as_accounts, draw, windows
from pipeline.parameters import Parameters
from pipeline.profiles.schema import CELL_OFFSETS, TOPICS
from pipeline.simulate.content import default_topics

SOURCES = default_topics()
PAIR = Pair("gsm8k", ("snips", "clinc150"))
SIZE = 100
PARAMETERS = Parameters.default()


def bounds(rows: np.ndarray, size: int = SIZE) -> np.ndarray:
    return np.arange(len(rows) // size + 1) * size


@pytest.fixture(scope="module")
def pool() -> np.ndarray:
    return draw(SOURCES, PAIR.benign, 2500, 1)


@pytest.fixture(scope="module")
def model(pool: np.ndarray) -> PoolModel:
    return PoolModel(pool, PARAMETERS)


@pytest.fixture(scope="module")
def detector(model: PoolModel) -> WindowDetector:
    rows = windows(SOURCES, PAIR, 0.0, 60, SIZE, 2)
    return WindowDetector(model, rows, bounds(rows))


def mixed(share: float, count: int, key: int, size: int = SIZE) -> np.ndarray:
    return windows(SOURCES, PAIR, share, count, size, key)


def test_a_tenth_of_foreign_records_is_seen_and_ordinary_windows_are_not(detector: WindowDetector) -> None:
    ordinary, tenth, pure = mixed(0.0, 200, 3), mixed(0.1, 30, 4), mixed(1.0, 10, 5)
    calm = detector.judge(ordinary, bounds(ordinary))
    assert (calm.p_value <= 0.003).mean() <= 0.02
    assert (detector.judge(tenth, bounds(tenth)).p_value <= 0.003).mean() >= 0.8
    assert (detector.judge(pure, bounds(pure)).p_value <= 1e-6).all()
    # p-values of ordinary windows are no smaller than they say, up to what sixty windows know.
    assert (calm.p_value <= 0.05).mean() <= 0.08
    assert np.allclose(calm.score, -np.log10(calm.p_value))


def test_each_window_is_judged_for_itself(detector: WindowDetector) -> None:
    rows = np.concatenate([mixed(0.0, 3, 6), mixed(0.25, 3, 7)])
    together = detector.judge(rows, bounds(rows))
    for i in range(6):
        alone = detector.judge(rows[i * SIZE : (i + 1) * SIZE], np.array([0, SIZE]))
        assert alone.p_value[0] == together.p_value[i]
    shuffled = rows.reshape(6, SIZE, -1)[:, np.random.default_rng(1).permutation(SIZE)].reshape(rows.shape)
    assert detector.judge(shuffled, bounds(rows)).p_value == pytest.approx(together.p_value, rel=1e-6)


def test_statistics_agree_with_plain_references(pool: np.ndarray, model: PoolModel) -> None:
    rows = mixed(0.1, 2, 8)
    found = model.statistics(rows, bounds(rows)).values
    scale = 1 / np.sqrt(PARAMETERS.space.norm2)
    reference, mine = pool.astype(np.float64) * scale, rows[:SIZE].astype(np.float64) * scale
    covariance = np.cov(reference, rowvar=False)
    d = len(covariance)
    shrunk = 0.98 * covariance + 0.02 * covariance.trace() / d * np.eye(d)
    inverse = np.linalg.inv(shrunk)
    off = mine.mean(axis=0) - reference.mean(axis=0)
    assert found["mean_shift"][0] == pytest.approx(SIZE * off @ inverse @ off, rel=1e-6)
    centred = mine - reference.mean(axis=0)
    distance = np.einsum("ij,jk,ik->i", centred, inverse, centred)
    assert found["mean_distance"][0] == pytest.approx(distance.mean(), rel=1e-6)
    topic = (rows[:SIZE].astype(np.int64) @ PARAMETERS.codebook.T.astype(np.int64)).argmax(axis=1)
    known = (pool.astype(np.int64) @ PARAMETERS.codebook.T.astype(np.int64)).argmax(axis=1)
    share = (np.bincount(known, minlength=256) + 1) / (len(pool) + 256)
    ratio = 1 / 256 / share[topic]
    assert found["foreign_topics"][0] == pytest.approx(
        np.log(1 - FOREIGN_SHARE + FOREIGN_SHARE * ratio).mean()
    )
    off_pool = reference - reference.mean(axis=0)
    far = np.sort(np.einsum("ij,jk,ik->i", off_pool, inverse, off_pool))
    p = np.array([((far >= x - 1e-9).sum() + 1) / (len(far) + 1) for x in distance])
    both = ratio * FAR_POWER * p ** (FAR_POWER - 1)
    assert found["foreign_records"][0] == pytest.approx(
        np.log(1 - FOREIGN_SHARE + FOREIGN_SHARE * both).mean(), rel=1e-4
    )


def test_profile_statistics_are_functions_of_the_profile(model: PoolModel) -> None:
    rows = mixed(0.1, 1, 9)
    account = as_accounts(rows, SIZE)
    profile = Engine(PARAMETERS, window_seconds=10**9).profiles(next(iter(account.blocks()))).by_account()
    parts = model._parts(rows, np.array([0, SIZE]))
    assert (parts.total[0] == profile.embedding_sum[0]).all()
    start = CELL_OFFSETS["topic_count"]
    assert (parts.topic[0] == profile.cells[0, start : start + TOPICS]).all()
    assert (parts.kernel[0] == profile.kernel_mean[0]).all()
    triangle = parts.moment[0][np.tril_indices(32)]
    assert sorted(triangle.astype(np.int64).tolist()) == sorted(profile.moment[0].tolist())


def test_one_record_far_out_is_no_harvest(detector: WindowDetector) -> None:
    rows = mixed(0.0, 20, 10)
    rows[::SIZE] = draw(SOURCES, ["gsm8k"], 20, 11)
    assert (detector.judge(rows, bounds(rows)).p_value > 0.001).all()


def test_profiles_alone_see_a_quarter(model: PoolModel) -> None:
    rows = mixed(0.0, 60, 12)
    light = WindowDetector(model, rows, bounds(rows), PROFILE)
    quarter = mixed(0.25, 20, 13)
    judgement = light.judge(quarter, bounds(quarter))
    assert (judgement.p_value <= 0.003).all()
    assert set(judgement.z) == set(PROFILE)
    assert not set(PROFILE) & set(RECORDS)


def test_a_pool_calibrates_itself_where_there_are_no_other_windows(pool: np.ndarray) -> None:
    reference, rows, edges = pool_windows(pool, 60, 40, 1)
    assert not {row.tobytes() for row in reference} & {row.tobytes() for row in rows}
    # A record is in a window once.
    for low, high in pairwise(edges):
        assert len({row.tobytes() for row in rows[low:high]}) == 60
    own = WindowDetector(PoolModel(reference, PARAMETERS), rows, edges)
    calm, quarter = mixed(0.0, 100, 14, 60), mixed(0.25, 20, 15, 60)
    assert (own.judge(calm, bounds(calm, 60)).p_value <= 0.003).mean() <= 0.04
    assert (own.judge(quarter, bounds(quarter, 60)).p_value <= 0.003).mean() >= 0.8


def test_more_calibration_windows_make_the_same_deviation_more_certain(model: PoolModel) -> None:
    rows = mixed(0.0, 60, 16)
    few = WindowDetector(model, rows[: 10 * SIZE], bounds(rows[: 10 * SIZE]), ("mean_shift",))
    z = np.array([4.0])
    assert few._tail("mean_shift", z)[0] > 3 * norm.sf(4.0)
    assert WindowDetector(model, rows, bounds(rows), ("mean_shift",))._tail("mean_shift", z) < few._tail(
        "mean_shift", z
    )


def test_bad_input_says_why(pool: np.ndarray, model: PoolModel, detector: WindowDetector) -> None:
    with pytest.raises(UsageError, match="at least 200 records of 384"):
        PoolModel(pool[:199], PARAMETERS)
    with pytest.raises(UsageError, match="each needs at least one"):
        model.statistics(pool[:10], np.array([0, 0, 10]))
    with pytest.raises(UsageError, match="9 calibration windows"):
        WindowDetector(model, pool[:900], np.arange(10) * 100)
    with pytest.raises(UsageError, match="no statistic beauty"):
        WindowDetector(model, pool[:1000], np.arange(11) * 100, ("beauty",))
    with pytest.raises(UsageError, match="calibration windows have 100"):
        detector.judge(pool[:300], np.array([0, 300]))
    with pytest.raises(UsageError, match="declare at least 4000"):
        pool_windows(pool, 2000, 3, 1)
