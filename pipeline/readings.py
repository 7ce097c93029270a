"""Numbers read from profiles: the only place where their integers become floats.

One float64 code path on the host, whatever backend made the profiles. Every function takes n profiles and gives
float64[n]; where a number is not defined (too few records) it is NaN, never a made-up zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError
from pipeline.kernels.distinct import PADDING
from pipeline.parameters import AMPLITUDE
from pipeline.profiles.schema import FEATURES, PROJECTED, SKETCH

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.profiles.table import Profiles


def mean_pairwise_cosine(profiles: Profiles) -> npt.NDArray[np.float64]:
    """Mean cosine of two different records: ``(|s|^2 - sum |q|^2) / ((n - 1) sum |q|^2)``.

    The exact sum of squared norms takes the place of n times the grid's, so that rounding onto the grid cancels.
    NaN below two records.
    """
    profiles.require_whole()
    n = profiles.records.astype(np.float64)
    squares = profiles.column("embedding_norm2").astype(np.float64)
    sums = profiles.embedding_sum.astype(np.float64)
    return _ratio((sums * sums).sum(axis=1) - squares, (n - 1.0) * squares, n >= 2)


def moment_matrices(profiles: Profiles) -> npt.NDArray[np.float64]:
    """Mean second moments of the projected records, float64[n, 32, 32], symmetric."""
    profiles.require_whole()
    row, column = np.indices((PROJECTED, PROJECTED)).reshape(2, -1)
    high, low = np.maximum(row, column), np.minimum(row, column)
    packed = profiles.moment / np.maximum(profiles.records, 1)[:, None]
    # One gather: writing both triangles by their indices takes several times as long.
    whole: npt.NDArray[np.float64] = np.take(packed, high * (high + 1) // 2 + low, axis=1)
    return whole.reshape(len(profiles), PROJECTED, PROJECTED)


def effective_rank(profiles: Profiles) -> npt.NDArray[np.float64]:
    """Exponential of the entropy of the moment's normalised eigenvalues (Roy & Vetterli, EUSIPCO 2007), 1 to 32.

    The moment is not centred: a set around one direction has an effective rank near 1.
    """
    values = np.clip(np.linalg.eigvalsh(moment_matrices(profiles)), 0.0, None)
    total = values.sum(axis=1, keepdims=True)
    share = values / np.where(total > 0, total, 1.0)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    return np.where(total[:, 0] > 0, np.exp(entropy), np.nan)


def participation_ratio(profiles: Profiles) -> npt.NDArray[np.float64]:
    """``tr(M)^2 / |M|_F^2``, 1 to 32: like `effective_rank` without an eigensolver, 58 times cheaper."""
    matrices = moment_matrices(profiles)
    trace = np.trace(matrices, axis1=1, axis2=2)
    squared = (matrices * matrices).sum(axis=(1, 2))
    return _ratio(trace * trace, squared, squared > 0)


def entropy(profiles: Profiles, field: str) -> npt.NDArray[np.float64]:
    """Shannon entropy in nats of an askable field, Miller-Madow corrected: plus (occupied cells - 1) / (2 n).

    NaN where nothing is counted. Miller, in: Information Theory in Psychology, 1955.
    """
    counts = profiles.askable[field].astype(np.float64)
    n = counts.sum(axis=1)
    share = counts / np.maximum(n, 1.0)[:, None]
    plain = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    occupied = (counts > 0).sum(axis=1)
    return np.where(n > 0, plain + (occupied - 1) / (2.0 * np.maximum(n, 1.0)), np.nan)


def topic_entropy(profiles: Profiles) -> npt.NDArray[np.float64]:
    """`entropy` of the topics, in nats."""
    return entropy(profiles, "topic_count")


def good_turing(profiles: Profiles, field: str = "topic_count") -> npt.NDArray[np.float64]:
    """Estimated probability that the next record falls into a cell not seen yet: cells seen once, over records.

    NaN where nothing is counted. Good, Biometrika 40, 1953.
    """
    counts = profiles.askable[field]
    n = counts.sum(axis=1).astype(np.float64)
    return _ratio((counts == 1).sum(axis=1).astype(np.float64), n, n > 0)


def dominant_share(profiles: Profiles, field: str) -> npt.NDArray[np.float64]:
    """Share of the fullest cell of an askable field; NaN where nothing is counted."""
    counts = profiles.askable[field]
    n = counts.sum(axis=1).astype(np.float64)
    return _ratio(counts.max(axis=1, initial=0).astype(np.float64), n, n > 0)


def mmd2(profiles: Profiles, reference: Profiles, *, unbiased: bool = True) -> npt.NDArray[np.float64]:
    """Squared maximum mean discrepancy to a reference, from the random features (Rahimi & Recht, NIPS 2007).

    Parameters
    ----------
    profiles
        n profiles.
    reference
        One profile, or n of them, row by row.
    unbiased
        Leave the pairs of a record with itself out, each counting k(x, x) = 1 (Gretton et al., JMLR 13, 2012): zero on
        average for two samples of one population, and so sometimes negative. NaN below two records on a side.
        Without it, the plain squared distance of the means.

    Raises
    ------
    UsageError
        The reference has another number of rows.
    SpaceMismatch
        The sides were made with different parameters.
    """
    profiles.parameters.require_same(reference.parameters)
    if len(reference) not in {1, len(profiles)}:
        msg = f"the reference has {len(reference)} profiles for {len(profiles)}; pass one (see total()) or as many"
        raise UsageError(msg)
    mine, theirs = _feature_means(profiles), _feature_means(reference)
    if not unbiased:
        plain: npt.NDArray[np.float64] = ((mine - theirs) ** 2).sum(axis=1)
        return plain
    cross: npt.NDArray[np.float64] = 2.0 * (mine * theirs).sum(axis=1)
    return _self_similarity(profiles, mine) + _self_similarity(reference, theirs) - cross


def _feature_means(profiles: Profiles) -> npt.NDArray[np.float64]:
    """Mean random features, scaled so that a dot product approximates the mean kernel."""
    profiles.require_whole()
    n = np.maximum(profiles.records, 1).astype(np.float64)[:, None]
    means: npt.NDArray[np.float64] = profiles.kernel_mean / (n * AMPLITUDE) * np.sqrt(2.0 / FEATURES)
    return means


def _self_similarity(profiles: Profiles, means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean kernel of two different records of one profile."""
    n = profiles.records.astype(np.float64)
    return _ratio(n * (means * means).sum(axis=1) - 1.0, n - 1.0, n >= 2)


def centroid_cosine(profiles: Profiles, reference: Profiles) -> npt.NDArray[np.float64]:
    """Cosine of the mean embeddings with those of a reference (one row, or row by row); NaN for a zero sum."""
    profiles.parameters.require_same(reference.parameters)
    profiles.require_whole()
    reference.require_whole()
    mine, theirs = (side.embedding_sum.astype(np.float64) for side in (profiles, reference))
    lengths = np.sqrt((mine * mine).sum(axis=1) * (theirs * theirs).sum(axis=1))
    return _ratio((mine * theirs).sum(axis=1), lengths, lengths > 0)


def distinct_count(profiles: Profiles, field: str) -> npt.NDArray[np.float64]:
    """Estimated number of distinct values behind a sketch: exact below 64, then ``(k - 1) 2**64 / largest kept``.

    Bar-Yossef et al., RANDOM 2002; relative error about 1 / sqrt(62) = 13 %.
    """
    profiles.require_whole()
    sketch = profiles.distinct[field]
    kept = (sketch != PADDING).sum(axis=1)
    largest = sketch[:, -1].astype(np.float64) + 1.0
    return np.where(kept < SKETCH, kept.astype(np.float64), (SKETCH - 1) * 2.0**64 / largest)


def sketch_overlap(one: npt.NDArray[np.uint64], two: npt.NDArray[np.uint64]) -> float:
    """Estimated Jaccard similarity of two sets from their sketches, uint64[64] each; NaN if both are empty.

    The 64 smallest of the union are a sample of it; counted is which of them lie in both (Beyer et al., SIGMOD 2007).
    """
    mine, theirs = one[one != PADDING], two[two != PADDING]
    sample = np.union1d(mine, theirs)[:SKETCH]
    if len(sample) == 0:
        return float("nan")
    return float(np.isin(sample, np.intersect1d(mine, theirs)).mean())


def _ratio(
    above: npt.NDArray[np.float64], below: npt.NDArray[np.float64], defined: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """A quotient where it is defined, else NaN, without a warning."""
    usable = defined & (below != 0)
    return np.where(usable, above / np.where(usable, below, 1.0), np.nan)
