"""In which signals an account stands like its benign class, and in which it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.signals.every import EVERY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.classes.classes import Classes
    from pipeline.detectors.reference import ClassReference
    from pipeline.signals import SignalTable

MOST = 5
# A rank among the class's accounts is unusual beyond these, ordinary between the others.
UNUSUAL = 0.05
ORDINARY = (0.25, 0.75)
# Fewer accounts than this share stand so far off: the class does not explain the account. Of accounts to compare with,
# at most this share has as many unusual signals, or lies as far off: else that speaks against nobody.
BADLY = 0.05
FEWEST = 10
"""With fewer accounts to compare with, nothing is said of how many unusual signals are to be expected."""


@dataclass(frozen=True, slots=True)
class Company:
    """Whom an account is compared with in how it stands in its class.

    Scores are made of signals that stand out, so accounts with small p-values have more unusual signals than others and
    lie farther from the middle of their class, guilty or not: what is to be expected is what such accounts have.

    Parameters
    ----------
    shares
        float64[n]: of each account to compare with, the share of its signals that are unusual in its own class.
    fits
        float64[n]: of each, the share of its class that lies as far from the middle.
    who
        Them in words, after "the n accounts".
    """

    shares: NDArray[np.float64]
    fits: NDArray[np.float64]
    who: str


def unusual_signals(values: SignalTable, each: ClassReference) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of n accounts how many signals have an unusual rank in a class, and how many have a rank there, int64[n]."""
    odd, known = np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
    for name, column in values.columns.items():
        if name not in each.signals:
            continue
        rank = each.signals[name].rank(column)
        there = ~np.isnan(rank)
        known += there
        odd += there & ((rank < UNUSUAL) | (rank > 1 - UNUSUAL))
    return odd, known


def explain(
    values: SignalTable,
    ranks: SignalTable,
    memberships: NDArray[np.float64],
    classes: Classes,
    row: int,
    signals: Sequence[str] | None = None,
    company: Company | None = None,
    *,
    shipped: bool = False,
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
        Those to name, for instance the ones that drove the score; default: all that the class knows.
    company
        What is to be expected; None: nothing is said of it, and the number of unusual signals speaks neither way.
    shipped
        Whether the classes are those that ship, and not the lake's.

    Returns
    -------
    dict
        ``best_class``, ``membership``, ``second_class`` (null with one class), ``second_membership``; ``shipped``; ``fit``: the
        share of the class's accounts that lie as far from its middle; ``typical`` and ``untypical``: of the signals to name,
        objects with signal, value, units, ``rank_in_class``, the class's median, and a sentence, the clearest first, at most
        five; ``named``: how many of those signals are unusual, of how many. ``unusual``: over *all* signals that the class
        knows, how many ranks lie outside 5-95 %, of how many, how many are to be expected by the company, how many
        accounts that is, how many of these have as large a share and how many fit as badly (null without); ``sentence``.
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
    strange = [each for each in far if not UNUSUAL <= each["rank_in_class"] <= 1 - UNUSUAL]
    untypical = strange[:MOST]
    typical = [each for each in near if ORDINARY[0] <= each["rank_in_class"] <= ORDINARY[1]][:MOST]
    fit = float(classes.fit(standing)[0, best])
    odd, known = (int(each[0]) for each in unusual_signals(only, classes.each[best]))
    unusual = _unusual(odd, known, fit, company)
    named = None if signals is None else {"signals": len(strange), "of": len(found)}
    return {
        "best_class": name,
        "membership": float(memberships[row, best]),
        "fit": fit,
        "second_class": classes.names[second] if second is not None else None,
        "second_membership": float(memberships[row, second]) if second is not None else None,
        "typical": typical,
        "untypical": untypical,
        "shipped": shipped,
        "named": named,
        "unusual": unusual,
        "sentence": " ".join(
            [
                _verdict(name, float(memberships[row, best]), fit, unusual, company, shipped=shipped),
                *_named(named, untypical),
            ]
        ),
    }


def _unusual(odd: int, known: int, fit: float, company: Company | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "signals": odd,
        "of": known,
        "expected": None,
        "accounts": None,
        "as_many": None,
        "as_far": None,
    }
    if company is None or len(company.shares) < FEWEST or not known:
        return told
    return {
        **told,
        "expected": round(float(company.shares.mean()) * known, 6),
        "accounts": len(company.shares),
        "as_many": int((company.shares >= odd / known).sum()),
        "as_far": int((company.fits <= fit).sum()),
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
    name: str,
    membership: float,
    fit: float,
    unusual: Mapping[str, Any],
    company: Company | None,
    *,
    shipped: bool,
) -> str:
    which = "benign classes that ship (found in simulated worlds, not here)" if shipped else "benign classes"
    like = f"Of the {which} «{name}» fits best (membership {membership:.0%})"
    place = f"{fit:.1%} of its accounts lie as far from its middle"
    odd, known, expected = unusual["signals"], unusual["of"], unusual["expected"]
    counted = f"{odd} of {known} signals are unusual in it (among the lowest or highest {UNUSUAL:.0%})"
    if expected is None or company is None:
        return (
            f"{like}: {place}. {_upper(counted)}. What is to be expected of an account with such a score is not known "
            "here, so neither is held against it."
        )
    accounts, as_many, as_far = unusual["accounts"], unusual["as_many"], unusual["as_far"]
    many = odd > expected and as_many <= BADLY * accounts
    counted += (
        f"; of the {accounts} accounts {company.who}, each in its own class, {_do(as_many, 'have', 'has')} as large a share "
        f"({expected:.1f} on average) and {_do(as_far, 'lie', 'lies')} as far from the middle"
    )
    if fit < BADLY and as_far <= BADLY * accounts:
        return f"{like}, and it fits badly: {place}. {_upper(counted)}."
    if many:
        return f"{like} and would explain it: {place}; against it, {counted}."
    return f"{like}, and it would explain it: {place}. {_upper(counted)}."


def _named(named: Mapping[str, int] | None, untypical: Sequence[Mapping[str, Any]]) -> list[str]:
    """Signals that the class does not explain, as what they are: chosen for standing out."""
    if not untypical:
        return []
    if named is None:
        return [f"The clearest: {_lower(untypical[0]['sentence'])}"]
    are = "is" if named["signals"] == 1 else "are"
    said = (
        f"Of the {named['of']} signals that added most to the score, chosen because they stand out, {named['signals']} "
        f"{are} unusual in the class; the clearest: {_lower(untypical[0]['sentence'])}"
    )
    return [said]


def _do(count: int, many: str, one: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _upper(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _lower(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}"
