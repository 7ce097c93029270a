"""Fit `pipeline.clusters.curves`: a logistic regression on hat functions with a penalty on bends and heights.

A generalised additive model (Hastie & Tibshirani, Stat. Sci. 1986). Directions that are known beforehand are bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from pipeline.clusters.curves import Curve, Curves

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def knots_of(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Evenly spaced quantiles of the known values, different ones only."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return np.array([0.0, 1.0])
    knots = np.unique(np.round(np.quantile(known, np.linspace(0.01, 0.99, count)), 4))
    return knots if len(knots) > 1 else np.array([knots[0], knots[0] + 1.0])


def hats(values: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hat functions at the knots, float64[n, k], zero where missing; the last column says that it is missing."""
    known = ~np.isnan(values)
    filled = np.where(known, values, knots[0])
    eye = np.eye(len(knots))
    out = np.stack([np.interp(filled, knots, eye[k]) for k in range(len(knots))], axis=1)
    return np.concatenate([np.where(known[:, None], out, 0.0), ~known[:, None]], axis=1)


def fit_curves(
    numbers: Mapping[str, NDArray[np.float64]],
    target: NDArray[np.bool_],
    weight: NDArray[np.float64],
    *,
    knots: int = 7,
    penalty: float = 1.0,
    directions: Mapping[str, int] | None = None,
) -> Curves:
    """Curves for log odds of ``target``.

    Parameters
    ----------
    numbers
        float64[n] each, NaN where missing.
    weight
        Of the rows; they add up to how much is known, against the penalty.
    knots
        Of each curve at most.
    penalty
        On the squares of second differences, and a quarter of it on the squares of the heights.
    directions
        1: may only rise, -1: may only fall.
    """
    directions = directions or {}
    places, blocks, prices, bounds = {}, [np.ones((len(target), 1))], [np.zeros((1, 1))], [(None, None)]
    start = 1
    for name, values in numbers.items():
        grid = knots_of(values, knots)
        size = len(grid)
        # Parameters are the first value and the steps from knot to knot: a direction is a bound on the steps.
        steps = np.eye(size + 1)
        steps[:size, :size] = np.tril(np.ones((size, size)))
        blocks.append(hats(values, grid) @ steps)
        bend = np.diff(np.eye(size), 2, axis=0)
        cost = np.zeros((size + 1, size + 1))
        cost[:size, :size] = bend.T @ bend
        cost += 0.25 * np.eye(size + 1)
        prices.append(penalty * (steps.T @ cost @ steps))
        step = {1: (0.0, None), -1: (None, 0.0), 0: (None, None)}[directions.get(name, 0)]
        bounds += [(None, None), *[step] * (size - 1), (None, None)]  # type: ignore[list-item]
        places[name] = grid, steps, slice(start, start + size + 1)
        start += size + 1
    design = np.concatenate(blocks, axis=1)
    price = np.zeros((start, start))
    at = 0
    for each in prices:
        price[at : at + len(each), at : at + len(each)] = each
        at += len(each)
    sign = np.where(target, 1.0, -1.0)

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (design @ theta)
        pull = price @ theta
        value = float((weight * np.logaddexp(0.0, -margin)).sum() + 0.5 * theta @ pull)
        slope = -weight * sign * expit(-margin)
        return value, design.T @ slope + pull

    found = minimize(
        loss, np.zeros(start), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}
    )
    curves = {}
    for name, (grid, steps, place) in places.items():
        value = steps @ found.x[place]
        curves[name] = Curve(
            tuple(float(x) for x in grid),
            tuple(round(float(x), 4) for x in value[:-1]),
            round(float(value[-1]), 4),
        )
    return Curves(round(float(found.x[0]), 4), curves)
