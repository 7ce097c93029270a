"""Which centroid of the codebook a record is closest to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def topics(scores: Any, *, xp: ModuleType) -> Any:
    """Index of the largest score of each row; scores are exact integers, so ties are real and go to the lowest.

    Parameters
    ----------
    scores
        float32[n, C].
    xp
        The array module; numpy documents that the first of several maxima wins, the CUDA text compares with
        a strict ``>`` in ascending order.

    Returns
    -------
    array
        Integers [n] in ``[0, C)``.
    """
    return xp.argmax(scores, axis=1)
