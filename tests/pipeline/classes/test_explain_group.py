"""Which benign group a cluster is most like, what speaks against it, and whose like its members are."""

from __future__ import annotations

import json
import math

import pytest

from pipeline.classes import explain_group
from pipeline.classes.explain_group import CLASS_SHARE, GROUPS
from pipeline.clusters.group_signals import GROUP_SIGNALS

NOTHING = dict.fromkeys(GROUP_SIGNALS, math.nan)


def portrait(name: str, *, but: int = 0) -> tuple[dict[str, float], float]:
    """Numbers of a group with every mark but the first few, and the share of its members in one class."""
    numbers = dict(NOTHING)
    for place, mark in enumerate(GROUPS[name]):
        high = mark.high if place >= but else not mark.high
        numbers[mark.number] = mark.bound + (0.01 if high else -0.01)
    return numbers, numbers.pop(CLASS_SHARE, 0.5)


def classes(share: float, members: int = 100) -> list[str | None]:
    most = round(share * members)
    return ["research"] * most + [f"other {each}" for each in range(members - most)]


@pytest.mark.parametrize("name", list(GROUPS))
def test_a_group_with_all_marks_fits_best_and_says_how_it_fits(name: str) -> None:
    numbers, share = portrait(name)
    found = explain_group(numbers, classes(share))
    json.dumps(found, allow_nan=False)
    assert found["best_group"] == name
    assert found["marks"] == found["of"] == len(GROUPS[name])
    assert found["untypical"] == []
    assert "None speaks against it" in found["sentence"]
    assert all(mark.number == CLASS_SHARE or mark.number in GROUP_SIGNALS for mark in GROUPS[name])


@pytest.mark.parametrize("name", list(GROUPS))
def test_a_mark_that_is_missing_speaks_against_it(name: str) -> None:
    numbers, share = portrait(name, but=1)
    # It still has more marks than any other.
    found = explain_group(numbers, classes(share))
    assert found["best_group"] == name
    first = GROUPS[name][0]
    assert [each["number"] for each in found["untypical"]] == [first.number]
    assert f"where such a group has {'more' if first.high else 'less'}" in found["sentence"]
    assert found["marks"] == found["of"] - 1
    assert "fits best" in found["sentence"]


def test_with_half_of_its_marks_or_fewer_no_group_fits_well() -> None:
    numbers = {
        **NOTHING,
        "tied_networks": 0.9,
        "alike_agents": 3.0,
        "alike_sampling": 3.0,
        "load_spread": 0.9,
    }
    found = explain_group(numbers, classes(0.5))
    assert (found["best_group"], found["marks"], found["of"]) == ("tenants of one application", 2, 2)
    assert "fits best" in found["sentence"]
    found = explain_group({**numbers, "alike_templates": 0.0, "union_overlap": 0.0}, classes(0.5))
    assert 2 * found["marks"] <= found["of"]
    assert "none fits well" in found["sentence"]


def test_members_are_counted_by_class_and_thin_ones_told() -> None:
    found = explain_group(NOTHING, ["b", "a", "b", None, "a", "b"], shipped=True)
    assert found["classes"] == [
        {"benign_class": "b", "members": 3},
        {"benign_class": "a", "members": 2},
    ]
    assert found["without_class"] == 1
    assert found["shipped"]
    assert "of its 6 accounts: 3 most like «b», 2 most like «a»; 1 with too few records" in found["sentence"]


def test_nothing_is_made_up_of_what_was_not_sent() -> None:
    found = explain_group(NOTHING, [None, None])
    assert found["best_group"] is None
    assert found["second_group"] is None
    assert found["typical"] == found["untypical"] == []
    assert "Too little was sent" in found["sentence"]
    assert "None of its 2 accounts" in found["sentence"]
    # One mark alone (the class share) is too few to name a group by.
    assert explain_group(NOTHING, ["a", "a"])["best_group"] is None
