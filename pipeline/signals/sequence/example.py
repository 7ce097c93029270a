"""Small sequences of records whose signals can be worked out by hand: for the examples and the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import AccountSequence

if TYPE_CHECKING:
    from collections.abc import Sequence


def axes(directions: Sequence[int], dimension: int = 16) -> np.ndarray[tuple[int, int], np.dtype[np.int8]]:
    """Vectors along one axis each: two records have cosine 1 or 0."""
    out = np.zeros((len(directions), dimension), np.int8)
    out[np.arange(len(directions)), np.asarray(directions) % dimension] = 100
    return out


def sequence(
    directions: Sequence[int],
    *,
    seconds: Sequence[float] | None = None,
    topics: Sequence[int] | None = None,
    prompts: Sequence[int] | None = None,
    input_tokens: Sequence[int] | None = None,
    output_tokens: Sequence[int] | None = None,
    **codes: Sequence[int],
) -> AccountSequence:
    """Records along axes, one a minute unless ``seconds`` says otherwise; every prompt its own unless told.

    Parameters
    ----------
    directions
        Axis of each record.
    seconds
        Times since 2026-01-01.
    topics
        Default: the directions.
    prompts, codes, input_tokens, output_tokens
        Fields of `AccountSequence`.
    """
    n = len(directions)
    moments = np.arange(n) * 60.0 if seconds is None else np.asarray(seconds, np.float64)
    given = {"prompt": range(n) if prompts is None else prompts, **codes}
    sizes = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return AccountSequence(
        axes(directions),
        1_767_225_600_000_000 + np.rint(moments * 1e6).astype(np.int64),
        np.asarray(directions if topics is None else topics, np.int64),
        {name: np.asarray(values, np.int64) for name, values in given.items()},
        {name: np.asarray(values, np.int64) for name, values in sizes.items() if values is not None},
    )
