"""Random numbers that depend only on what they are for: a hash of keys, not the state of a generator.

The same account, prompt or record gets the same numbers whatever was drawn before it, in any slicing of the
output. The mixer is splitmix64 (Steele, Lea & Flood 2014), vectorised over uint64 arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_GOLDEN = 0x9E3779B97F4A7C15
_ONE = 0xBF58476D1CE4E5B9
_TWO = 0x94D049BB133111EB


def words(values: object) -> Words:
    """As uint64, wrapping negative integers."""
    array = np.asarray(values)
    return array.astype(np.uint64) if array.dtype != np.uint64 else array


def mix(key: object, *more: object) -> Words:
    """One well-mixed 64-bit word per element of the broadcast keys.

    Examples
    --------
    >>> bool((mix([1, 2], 7) == mix([1, 2], 7)).all()), bool(mix(1, 2) == mix(2, 1))
    (True, False)
    """
    state = words(key)
    with np.errstate(over="ignore"):
        state = _finish(state + np.uint64(_GOLDEN))
        for other in more:
            state = _finish((state ^ words(other)) * np.uint64(_ONE) + np.uint64(_GOLDEN))
    return state


def _finish(z: Words) -> Words:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_ONE)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_TWO)
    return z ^ (z >> np.uint64(31))


def uniform(key: object, *more: object) -> NDArray[np.float64]:
    """Numbers in [0, 1), 53 bits."""
    return (mix(key, *more) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(bound: object, key: object, *more: object) -> NDArray[np.int64]:
    """Integers in [0, bound); bound may be an array."""
    limit = np.asarray(bound, dtype=np.float64)
    return np.floor(uniform(key, *more) * limit).astype(np.int64)


def normal(key: object, *more: object) -> NDArray[np.float64]:
    """Standard normal numbers (Box & Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log1p(-uniform(key, *more, 0xA1)))
    return radius * np.cos(2 * np.pi * uniform(key, *more, 0xB2))
