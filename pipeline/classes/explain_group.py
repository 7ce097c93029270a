"""Which benign group a cluster is most like: offices, tenants of one application, a shared job, or merely its class.

Each benign group has a few marks, drawn by hand like the portraits of classes: a number of the group (`GROUP_SIGNALS`), on
which side of a bound it lies in such a group, and a sentence. The group that has the largest share of its marks among
those that can be said fits best. Marks are not evidence of innocence: whoever attacks may have them too, and nothing
here enters a score or a p-value.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.signals.words import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLASS_SHARE = "class_share"
"""Among the numbers: the share of the members with a class that are in the most frequent one."""

FEWEST_MARKS = 2
"""A group of which fewer marks can be said is not compared."""


@dataclass(frozen=True, slots=True)
class Mark:
    """``high``: such a group has the number at ``bound`` or above, else below it; ``says`` it in words."""

    number: str
    high: bool
    bound: float
    says: str

    def met(self, value: float) -> bool:
        """Whether the value is on the group's side."""
        return (value >= self.bound) == self.high


TWICE = math.log(2.0)

GROUPS: dict[str, tuple[Mark, ...]] = {
    "people of one office, campus or laboratory": (
        Mark("tied_networks", True, 0.5, "{value:.0%} of its ties rest on a network that few others use"),
        Mark("alike_agents", False, TWICE, "tied members' programs are {exponential} times as alike as any two accounts'"),
        Mark("alike_sampling", False, TWICE, "tied members' parameters are {exponential} times as alike as any two accounts'"),
        Mark("load_spread", True, 0.7, "the numbers of records of its members scatter by a factor of {exponential}"),
    ),
    "tenants of one application": (
        Mark("alike_templates", True, 0.3, "tied members have {value:.0%} of their templates in common"),
        Mark("alike_agents", True, TWICE, "tied members' programs are {exponential} times as alike as any two accounts'"),
        Mark("union_overlap", True, 0.05, "{value:.1%} of its members' prompts are those of several members"),
        Mark("load_spread", True, 0.7, "the numbers of records of its members scatter by a factor of {exponential}"),
    ),
    "a fleet of workers on one honest job": (
        Mark("alike_sampling", True, TWICE, "tied members' parameters are {exponential} times as alike as any two accounts'"),
        Mark("alike_sizes", False, TWICE, "tied members' numbers of records differ by a factor of {exponential}"),
        Mark("synchrony", True, 0.2, "tied members' activity correlates by {value:.2f}"),
        Mark("own_repeats", True, 0.05, "half of its members repeat at least {value:.0%} of their prompts, as jobs that run again do"),
    ),
    "accounts that are merely of one class": (
        Mark(CLASS_SHARE, True, 0.7, "{value:.0%} of its members that have a benign class alone are in one"),
        Mark("tied_networks", False, 0.1, "{value:.0%} of its ties rest on a network that few others use"),
        Mark("tied_payments", False, 0.1, "{value:.0%} of its ties rest on a payment in common"),
        Mark("missing_overlap", False, 1.0, "tied members have {size:.1f} standard deviations {less} prompts in common than users of one pool"),
    ),
}  # fmt: skip


def explain_group(
    numbers: Mapping[str, float], benign_class: Sequence[str | None], *, shipped: bool = False
) -> dict[str, Any]:
    """The benign group that a cluster is most like, what of it fits and what does not; a JSON object.

    Parameters
    ----------
    numbers
        `GROUP_SIGNALS` of the cluster, NaN where they cannot be said.
    benign_class
        Of each member its best class; None: too few records.
    shipped
        Whether these are the classes that ship, and not the lake's.

    Returns
    -------
    dict
        ``best_group`` and ``second_group`` (null where too little can be said), ``marks`` and ``of``: how many marks of the
        best one it has, of how many that can be said; ``typical`` and ``untypical``: objects with number, value and
        sentence; ``classes``: benign classes with how many members are most like each; ``without_class``;
        ``shipped``; ``sentence``.
    """
    counted = Counter(name for name in benign_class if name is not None)
    classes = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    known = sum(counted.values())
    values = {**numbers, CLASS_SHARE: classes[0][1] / known if known else math.nan}
    ranked = []
    for place, (name, marks) in enumerate(GROUPS.items()):
        said = [mark for mark in marks if not math.isnan(values[mark.number])]
        if len(said) >= FEWEST_MARKS:
            met = [mark for mark in said if mark.met(values[mark.number])]
            ranked.append((-len(met) / len(said), -len(met), place, name, said, met))
    ranked.sort(key=lambda each: each[:3])
    best = ranked[0] if ranked else None
    typical = [_told(mark, values) for mark in best[5]] if best else []
    untypical = [_told(mark, values) for mark in best[4] if mark not in best[5]] if best else []
    return {
        "best_group": best[3] if best else None,
        "second_group": ranked[1][3] if len(ranked) > 1 else None,
        "marks": len(typical),
        "of": len(typical) + len(untypical),
        "typical": typical,
        "untypical": untypical,
        "classes": [{"benign_class": name, "members": members} for name, members in classes],
        "without_class": len(benign_class) - known,
        "shipped": shipped,
        "sentence": " ".join([_fits(best[3] if best else None, typical, untypical), _members(classes, benign_class)]),
    }  # fmt: skip


def _told(mark: Mark, values: Mapping[str, float]) -> dict[str, Any]:
    words = in_words(mark.says, values[mark.number])
    end = (
        "" if mark.met(values[mark.number]) else f", where such a group has {'more' if mark.high else 'less'}"
    )
    return {
        "number": mark.number,
        "value": values[mark.number],
        "sentence": f"{words[0].upper()}{words[1:]}{end}.",
    }


def _fits(
    name: str | None, typical: Sequence[Mapping[str, Any]], untypical: Sequence[Mapping[str, Any]]
) -> str:
    if name is None:
        return "Too little was sent of it to say which benign group it is most like."
    marks, of = len(typical), len(typical) + len(untypical)
    well = "fits best" if 2 * marks > of else "is the nearest, and none fits well"
    said = f"Of the benign groups «{name}» {well}: it has {marks} of {of} marks of one."
    if untypical:
        first = untypical[0]["sentence"]
        return f"{said} Against that: {first[:1].lower()}{first[1:]}"
    return f"{said} None speaks against it: ask who pays and who decides what is asked."


def _members(classes: Sequence[tuple[str, int]], benign_class: Sequence[str | None]) -> str:
    size, known = len(benign_class), sum(members for _, members in classes)
    if not classes:
        return f"None of its {size} accounts alone has enough records to be put into a benign class."
    listed = ", ".join(f"{members} most like «{name}»" for name, members in classes)
    rest = f"; {size - known} with too few records to tell" if known < size else ""
    return f"Alone, of its {size} accounts: {listed}{rest}."
