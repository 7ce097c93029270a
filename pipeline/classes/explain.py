"""In which signals an account stands like its benign class, and in which it does not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.signals.every import EVERY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.classes.classes import Classes
    from pipeline.signals import SignalTable

MOST = 5
# A rank among the class's accounts is unusual beyond these, ordinary between the others.
UNUSUAL = 0.05
ORDINARY = (0.25, 0.75)
# Fewer accounts than this share stand so far off: the class does not explain the account.
BADLY = 0.05


def explain(
    values: SignalTable,
    ranks: SignalTable,
    memberships: NDArray[np.float64],
    classes: Classes,
    row: int,
    signals: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The best benign explanation of an account, and what speaks against it; a JSON object.

    Parameters
    ----------
    values, ranks
        Signals of several accounts and their mid-ranks in the lake.
    memberships
        float64[n, K] from `Classes.assign`.
    row
        Which of them.
    signals
        Those to speak of, for instance the ones that drove the score; default: all that the class knows.

    Returns
    -------
    dict
        ``best_class``, ``membership``, ``second_class`` (null with one class), ``second_membership``; ``fit``: the share
        of the class's accounts that lie as far from its middle; ``typical`` and ``untypical``: objects with signal,
        value, units, ``rank_in_class``, the class's median, and a sentence, the clearest first, at most five; ``unusual``:
        how many ranks lie outside 5-95 %, of how many, and how many would by chance; ``sentence``.
    """
    only = type(values)(
        values.account_id[row : row + 1],
        values.records[row : row + 1],
        {name: column[row : row + 1] for name, column in values.columns.items()},
    )
    standing = type(ranks)(
        ranks.account_id[row : row + 1],
        ranks.records[row : row + 1],
        {name: column[row : row + 1] for name, column in ranks.columns.items()},
    )
    order = np.argsort(-memberships[row], kind="stable")
    best = int(order[0])
    second = int(order[1]) if len(order) > 1 else None
    name = classes.names[best]
    found = []
    for signal in signals if signals is not None else only.columns:
        distribution = classes.each[best].signals.get(signal)
        value = float(only.columns[signal][0]) if signal in only.columns else math.nan
        if distribution is None or math.isnan(value) or not len(distribution.quantiles):
            continue
        rank = float(distribution.rank(np.array([value]))[0])
        found.append(_standing(signal, value, rank, distribution.median, name))
    far = sorted(found, key=lambda each: (-abs(each["rank_in_class"] - 0.5), each["signal"]))
    near = sorted(found, key=lambda each: (abs(each["rank_in_class"] - 0.5), each["signal"]))
    odd = [each for each in far if not UNUSUAL <= each["rank_in_class"] <= 1 - UNUSUAL]
    untypical = odd[:MOST]
    typical = [each for each in near if ORDINARY[0] <= each["rank_in_class"] <= ORDINARY[1]][:MOST]
    fit = float(classes.fit(standing)[0, best])
    return {
        "best_class": name,
        "membership": float(memberships[row, best]),
        "fit": fit,
        "second_class": classes.names[second] if second is not None else None,
        "second_membership": float(memberships[row, second]) if second is not None else None,
        "typical": typical,
        "untypical": untypical,
        "unusual": {"signals": len(odd), "of": len(found), "expected": 2 * UNUSUAL * len(found)},
        "sentence": _verdict(name, float(memberships[row, best]), fit, odd, len(found)),
    }


def _standing(signal: str, value: float, rank: float, median: float | None, name: str) -> dict[str, Any]:
    described = EVERY.get(signal)
    words = described.sentence(value) if described else f"its {signal.replace('_', ' ')} is {value:.3g}"
    where = f"higher than {rank:.1%}" if rank >= 0.5 else f"lower than {1 - rank:.1%}"
    return {
        "signal": signal,
        "value": value,
        "units": described.units if described else None,
        "rank_in_class": rank,
        "median_in_class": median,
        "sentence": f"{words[0].upper()}{words[1:]}, {where} of «{name}».",
    }


def _verdict(
    name: str, membership: float, fit: float, untypical: Sequence[dict[str, Any]], known: int
) -> str:
    like = f"Of the benign classes «{name}» fits best (membership {membership:.0%})"
    place = f"{fit:.1%} of its accounts lie as far from its middle"
    if fit < BADLY:
        return f"{like}, and it fits badly: {place}."
    if not untypical:
        return f"{like}, and it fits: {place}, and none of {known} signals is unusual in it."
    return (
        f"{like} and would explain it: {place}; against it, {len(untypical)} of {known} signals are unusual in it "
        f"(one in ten is to be expected), first: {untypical[0]['sentence']}"
    )
