"""Sums and roundings that come out the same on every processor.

Rounding takes the last digits off a sum, unless the sum lies exactly in the middle between two results. A logarithm
never does. A weighted sum of decimals may: of six-digit features with two-digit weights, one in a hundred ends in a 5 at
the seventh digit, and the order in which a matrix library adds decides where it goes. So such sums are taken of whole
numbers and rounded among them, and numbers that are only added up lie on a grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import Integers, Numbers

GRID = 2.0**32
"""Steps per unit. Sums of multiples of a step are exact in float64 while they stay below 2**21, in any order."""


def on_grid(values: Numbers) -> Numbers:
    """The nearest multiples of ``1 / GRID``, float64.

    Logarithms of the whole numbers up to 2,000 lie six ten-thousandths of a step or more from the middle between two
    multiples, a hundred times further than a computed logarithm is off: on the grid they are the same, whoever computes them.

    Examples
    --------
    >>> float(on_grid(np.array([0.1 + 0.2]))[0]) == float(on_grid(np.array([0.3]))[0])
    True
    """
    out: Numbers = np.rint(values * GRID) / GRID
    return out


def nearest(top: Integers, bottom: Integers) -> Integers:
    """The whole numbers nearest to ``top / bottom``, int64; of two that are equally near the greater.

    Parameters
    ----------
    top, bottom
        int64, below 2**61 in absolute value; ``bottom`` above 0.

    Examples
    --------
    >>> nearest(np.array([4, 5, 7, -5]), np.array([10, 10, 5, 10])).tolist()
    [0, 1, 1, 0]
    """
    return (2 * top + bottom) // (2 * bottom)
