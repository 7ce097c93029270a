"""One window of records against a declared pool of ordinary ones: whether part of it is from elsewhere.

For a service that knows what its traffic is (one application, one customer's past) and asks about an account or a
stretch of time. Nothing is fitted beforehand: the pool gives the reference, other windows of ordinary use give the null.

Six statistics, four of them exact from a profile (`PROFILE`), two from the landed records (`RECORDS`):

- ``mean_shift``: ``n |A (m - m0)|^2``, m the mean embedding, ``A' A`` the inverse of the pool's covariance shrunk to its
  trace (Hotelling, Ann. Math. Stat. 2, 1931; shrunk as by Ledoit & Wolf, J. Multivariate Anal. 88, 2004). `embedding_sum`.
- ``spread``: ``n |B M B / n - I|_F^2``, M the projected second moment, ``B B`` the inverse of the pool's. `moment`.
- ``kernel_distance``: n times the squared distance of the kernel mean, each direction of the features by the pool's
  deviation in it (MMD, Gretton et al., JMLR 13, 2012; so sharpened it is the kernel Fisher ratio of Harchaoui, Bach &
  Moulines, NIPS 2007). `kernel_mean`.
- ``foreign_topics``: mean over the records of ``log(1 - e + e r_k)``, ``r_k = (1 / 256) / pi_k`` for a record of topic k: the
  likelihood ratio of a mixture with a share ``e`` of records from anywhere. `topic_count`.
- ``foreign_records``: the same with ``r = r_k g p^(g - 1)``, p the share of the pool's records that lie as far out as this
  one: few records that are both far out and of rare topics move it, where a mean over all would drown them.
- ``mean_distance``: mean squared distance of the records (Mahalanobis, as Lee et al., NeurIPS 2018).

Each is set against windows of the same size that are known to be ordinary: by its logarithm as one more observation of a
normal (Student's t), or, for the two means of bounded values, as a Pearson type III whose skewness is that of the records
over ``sqrt(n)``. The smallest of the six p-values is taken six times (Bonferroni: right whatever the dependence, as far as
those tails are; how far is measured by ``distillwatch evaluate --protocol labrai``). Assumes that an ordinary window is
exchangeable with the calibration windows. A benign *account* is not: with a topic of its own it differs from any mixed
pool, and would be accused here. This judges against a pool that is the account's like, never against a whole lake.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm, pearson3
from scipy.stats import t as student

from pipeline.errors import UsageError
from pipeline.kernels.kernel_mean import cosines
from pipeline.kernels.product import grid_product
from pipeline.profiles.schema import FEATURES, PROJECTED, TOPICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.parameters import Parameters

    Numbers = NDArray[np.float64]

SHRINKAGE = 0.02
FOREIGN_SHARE = 0.2  # e
FAR_POWER = 0.3  # g
MIN_POOL = 200
MIN_CALIBRATION = 10
BLOCK = 8192
PROFILE = ("mean_shift", "spread", "kernel_distance", "foreign_topics")
RECORDS = ("foreign_records", "mean_distance")
RATIOS = ("foreign_topics", "foreign_records")
# Windows may differ from the calibration windows by this factor in size.
SIZE_RANGE = 1.25


@dataclass(frozen=True, slots=True)
class WindowJudgement:
    """Of n windows.

    ``p_value`` float64[n]; ``score`` is ``-log10`` of it; ``z[name]`` float64[n] how many deviations of the calibration
    windows each statistic lies above their mean: which part of the window's content speaks, and how loudly.
    """

    p_value: Numbers
    score: Numbers
    z: Mapping[str, Numbers]


class PoolModel:
    """What ordinary records look like.

    Parameters
    ----------
    pool
        int8[m, d], grid vectors of records declared ordinary; `MIN_POOL` at least.
    parameters
        Of the profiles: topics, projection and features.

    Raises
    ------
    UsageError
        Too few records, or of another dimension.
    """

    def __init__(self, pool: NDArray[np.int8], parameters: Parameters) -> None:
        d = parameters.space.dimension
        if pool.ndim != 2 or pool.shape[1] != d or len(pool) < MIN_POOL:
            msg = f"the pool is int8{list(pool.shape)}; give at least {MIN_POOL} records of {d} dimensions"
            raise UsageError(msg)
        self._parameters = parameters
        self._scale = 1.0 / np.sqrt(parameters.space.norm2)
        rows = pool.astype(np.float64) * self._scale
        self._mean = rows.mean(axis=0)
        covariance = np.cov(rows, rowvar=False)
        value, vector = np.linalg.eigh(covariance)
        ridge = SHRINKAGE * covariance.trace() / d
        self._whiten = vector / np.sqrt((1 - SHRINKAGE) * np.maximum(value, 0) + ridge)
        parts = self._parts(pool, np.array([0, len(pool)]))
        self._distances = np.sort(parts.distance)
        self._foreign = 1.0 / TOPICS / ((parts.topic[0] + 1.0) / (len(pool) + TOPICS))
        self._kernel = parts.kernel[0] / len(pool)
        features = parts.waves / len(pool) - np.outer(self._kernel, self._kernel)
        value, vector = np.linalg.eigh(features)
        ridge = SHRINKAGE * features.trace() / FEATURES
        self._sharpen = vector / np.sqrt((1 - SHRINKAGE) * np.maximum(value, 0) + ridge)
        moment = parts.moment[0] / len(pool)
        value, vector = np.linalg.eigh(moment)
        floor = SHRINKAGE * moment.trace() / PROJECTED
        self._unmix = vector / np.sqrt((1 - SHRINKAGE) * np.maximum(value, 0) + floor)

    def statistics(self, vectors: NDArray[np.int8], bounds: NDArray[np.int64]) -> WindowNumbers:
        """The six numbers of each window; window i has rows ``bounds[i]`` to ``bounds[i + 1]``.

        Rounded to nine digits, so that they do not depend on the number of threads of a matrix product.

        Raises
        ------
        UsageError
            A window is empty.
        """
        size = np.diff(bounds).astype(np.float64)
        if not len(size) or size.min() < 1:
            msg = f"windows of {size.astype(int).tolist()[:5]} records; each needs at least one"
            raise UsageError(msg)
        parts = self._parts(vectors, bounds)
        shift = parts.total * self._scale / size[:, None] - self._mean
        mixed = self._unmix.T @ (parts.moment / size[:, None, None]) @ self._unmix - np.eye(PROJECTED)
        kernel = (parts.kernel / size[:, None] - self._kernel) @ self._sharpen
        m = len(self._distances)
        far = (m - np.searchsorted(self._distances, parts.distance, side="left") + 1.0) / (m + 1.0)
        topics = self._foreign[parts.topics]
        records = {
            "foreign_topics": np.log1p(FOREIGN_SHARE * (topics - 1)),
            "foreign_records": np.log1p(FOREIGN_SHARE * (topics * FAR_POWER * far ** (FAR_POWER - 1) - 1)),
        }
        start = bounds[:-1]
        found = {
            "mean_shift": size * ((shift @ self._whiten) ** 2).sum(axis=1),
            "spread": size * (mixed**2).sum(axis=(1, 2)),
            "kernel_distance": size * (kernel**2).sum(axis=1),
            "mean_distance": np.add.reduceat(parts.distance, start) / size,
            **{name: np.add.reduceat(values, start) / size for name, values in records.items()},
        }
        skewness = {name: _skewness(values) / float(np.sqrt(size.mean())) for name, values in records.items()}
        return WindowNumbers(size, {name: _rounded(values) for name, values in found.items()}, skewness)

    def _parts(self, vectors: NDArray[np.int8], bounds: NDArray[np.int64]) -> _Parts:
        parameters, count = self._parameters, len(bounds) - 1
        owner = np.repeat(np.arange(count), np.diff(bounds))
        found = _Parts(
            np.zeros((count, vectors.shape[1])),
            np.zeros((count, TOPICS)),
            np.zeros((count, FEATURES)),
            np.zeros((count, PROJECTED, PROJECTED)),
            np.empty(len(vectors)),
            np.zeros((FEATURES, FEATURES)),
            np.empty(len(vectors), np.int64),
        )
        offset, table = parameters.phase_offset, parameters.cosines
        cuts = np.unique(np.concatenate([np.arange(0, len(vectors), BLOCK), bounds]))
        for low, high in pairwise(cuts):
            x, product = grid_product(vectors[low:high], parameters.matrix, xp=np)
            mine = owner[low]
            exact = x.astype(np.float64)
            found.total[mine] += exact.sum(axis=0)
            found.topics[low:high] = product[:, :TOPICS].argmax(axis=1)
            found.topic[mine] += np.bincount(found.topics[low:high], minlength=TOPICS)
            waves = cosines(product[:, TOPICS : TOPICS + FEATURES], offset, table, xp=np)
            found.kernel[mine] += waves.sum(axis=0, dtype=np.float64)
            if count == 1:
                exact_waves = waves.astype(np.float64)
                found.waves[...] += exact_waves.T @ exact_waves
            y = np.floor(product[:, TOPICS + FEATURES :].astype(np.float64) / (1 << parameters.shift))
            found.moment[mine] += y.T @ y
            white = (exact * self._scale - self._mean) @ self._whiten
            found.distance[low:high] = np.einsum("ij,ij->i", white, white)
        return found


@dataclass(frozen=True, slots=True)
class _Parts:
    """Sums of each window, each record's ``distance`` and ``topics``; ``waves``, of one window alone: squares of features."""

    total: Numbers
    topic: Numbers
    kernel: Numbers
    moment: Numbers
    distance: Numbers
    waves: Numbers
    topics: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WindowNumbers:
    """``size`` float64[n]; ``values[name]`` float64[n]; ``skewness`` of a mean over a window, for each of `RATIOS`."""

    size: Numbers
    values: Mapping[str, Numbers]
    skewness: Mapping[str, float]


class WindowDetector:
    """Judges windows by a pool and by windows that are known to be ordinary.

    Parameters
    ----------
    model
        Of the pool.
    vectors, bounds
        The calibration windows, as for `PoolModel.statistics`; of about the size of those to be judged, `MIN_CALIBRATION`
        at least, and none of their records in the pool. `pool_windows` draws them where there are no others.
    names
        Statistics to be used; `PROFILE` alone needs no records.

    Raises
    ------
    UsageError
        Too few windows, or an unknown statistic.
    """

    def __init__(
        self,
        model: PoolModel,
        vectors: NDArray[np.int8],
        bounds: NDArray[np.int64],
        names: tuple[str, ...] = (*PROFILE, *RECORDS),
    ) -> None:
        if unknown := set(names) - {*PROFILE, *RECORDS}:
            msg = f"no statistic {', '.join(sorted(unknown))}; there are {', '.join((*PROFILE, *RECORDS))}"
            raise UsageError(msg)
        if len(bounds) - 1 < MIN_CALIBRATION:
            msg = f"{len(bounds) - 1} calibration windows; give at least {MIN_CALIBRATION}"
            raise UsageError(msg)
        self._model, self._names = model, names
        known = model.statistics(vectors, bounds)
        self._size, self._windows = float(known.size.mean()), len(known.size)
        self._skewness = known.skewness
        self._centre, self._deviation = {}, {}
        for name in names:
            values = _shaped(name, known.values[name])
            self._centre[name] = float(values.mean())
            self._deviation[name] = max(float(values.std(ddof=1)), 1e-9 * max(1.0, abs(self._centre[name])))

    def judge(self, vectors: NDArray[np.int8], bounds: NDArray[np.int64]) -> WindowJudgement:
        """Judge windows; each for itself.

        Raises
        ------
        UsageError
            A window is much larger or smaller than the calibration windows.
        """
        found = self._model.statistics(vectors, bounds)
        odd = np.abs(np.log(found.size / self._size)) > np.log(SIZE_RANGE)
        if odd.any():
            msg = f"a window of {int(found.size[odd][0])} records, calibration windows have {self._size:.0f}; calibrate on windows of its size"
            raise UsageError(msg)
        z, least = {}, np.ones(len(found.size))
        for name in self._names:
            z[name] = (_shaped(name, found.values[name]) - self._centre[name]) / self._deviation[name]
            least = np.minimum(least, self._tail(name, z[name]))
        p = np.clip(len(z) * least, 1e-300, 1.0)
        return WindowJudgement(p, -np.log10(p), z)

    def _tail(self, name: str, z: Numbers) -> Numbers:
        """Probability of such a z or a larger one, the centre and the deviation known from m windows."""
        m = self._windows
        if name in RATIOS:
            # To the normal of the same probability, so that what m windows leave open can be added as below.
            z = norm.isf(np.clip(pearson3.sf(z, max(self._skewness[name], 0.0)), 1e-300, 1.0))
        p: Numbers = student.sf(z / np.sqrt(1 + 1 / m), m - 1)
        return p


def pool_windows(
    pool: NDArray[np.int8], size: int, count: int, seed: int
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int64]]:
    """Half of a pool as the reference, and calibration windows drawn from the other half (vectors, bounds).

    For windows that hold independent records, as a service's whole traffic does. Windows share records when the half is
    smaller than ``size * count``; each record is at most once in a window.

    Raises
    ------
    UsageError
        The half has fewer records than a window.
    """
    rng = np.random.default_rng([seed, 0x3117])
    order = rng.permutation(len(pool))
    reference, other = order[: len(pool) // 2], order[len(pool) // 2 :]
    if len(other) < size:
        msg = f"a pool of {len(pool)} records gives no windows of {size}; declare at least {2 * size}"
        raise UsageError(msg)
    rows = np.concatenate([rng.permutation(other)[:size] for _ in range(count)])
    return pool[np.sort(reference)], pool[rows], np.arange(count + 1) * size


def _shaped(name: str, values: Numbers) -> Numbers:
    """Sums of squares by their logarithm; means of bounded values as they are."""
    return values if name in RATIOS else np.log(np.maximum(values, 1e-12))


def _skewness(values: Numbers) -> float:
    off = values - values.mean()
    deviation = float(np.sqrt((off**2).mean()))
    return float((off**3).mean() / deviation**3) if deviation > 0 else 0.0


def _rounded(values: Numbers) -> Numbers:
    """To nine significant digits."""
    with np.errstate(divide="ignore"):
        digits = np.where(values == 0, 0, np.floor(np.log10(np.abs(np.where(values == 0, 1, values)))))
    step = 10.0 ** (8 - digits)
    out: Numbers = np.rint(values * step) / step
    return out
