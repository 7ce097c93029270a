from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.clusters.find import cluster_id
from pipeline.clusters.identity import (
    JOINED,
    LEFT,
    Change,
    changes_now,
    first_seen,
    identities,
    members_before,
)

DAY = datetime(2026, 1, 1)


def run(history: list[Change], day: int, groups: list[str]) -> list[Change]:
    """One day's run: what the published changes are after it. A group is written as its members' letters."""
    as_of = DAY + timedelta(days=day)
    before = members_before(history, as_of)
    names = identities({cluster_id(list(group)): list(group) for group in groups}, before)
    today = {names[cluster_id(list(group))]: list(group) for group in groups}
    now = changes_now(today, before, as_of)
    return sorted([*(each for each in history if each.as_of != as_of), *now])


def members(history: list[Change], day: int) -> dict[str, str]:
    found = members_before(history, DAY + timedelta(days=day, hours=1))
    return {name: "".join(sorted(each)) for name, each in found.items()}


def test_a_cluster_that_changes_keeps_its_name() -> None:
    history = run([], 0, ["abcd"])
    name = cluster_id(list("abcd"))
    assert members(history, 0) == {name: "abcd"}
    history = run(history, 1, ["bcdef"])
    assert members(history, 1) == {name: "bcdef"}
    assert [(each.account_id, each.change) for each in history if each.as_of > DAY] == [
        ("a", LEFT),
        ("e", JOINED),
        ("f", JOINED),
    ]
    assert first_seen(history, DAY + timedelta(days=9))[name, "b"] == DAY


def test_of_a_split_the_larger_part_keeps_the_name_and_of_a_merger_the_larger_one() -> None:
    history = run([], 0, ["abcdefgh"])
    whole = cluster_id(list("abcdefgh"))
    history = run(history, 1, ["abcde", "fgh"])
    assert members(history, 1) == {whole: "abcde", cluster_id(list("fgh")): "fgh"}
    history = run(history, 2, ["abcdefgh"])
    assert members(history, 2) == {whole: "abcdefgh"}
    assert [each.account_id for each in history if each.change == LEFT and each.as_of.day == 3] == list("fgh")


def test_a_cluster_that_hardly_shares_anybody_is_another() -> None:
    history = run(run([], 0, ["abcdef"]), 1, ["aghijk"])
    assert set(members(history, 1)) == {cluster_id(list("aghijk"))}


def test_a_name_is_never_given_twice() -> None:
    history = run([], 0, ["abcdef"])
    whole = cluster_id(list("abcdef"))
    # It lives on as others, and the accounts that it was formed of come together once more beside it.
    history = run(history, 1, ["abcdefghijklmnop"])
    history = run(history, 2, ["ghijklmnop", "abcdef"])
    assert members(history, 2)[whole] == "ghijklmnop"
    assert sorted(members(history, 2).values()) == ["abcdef", "ghijklmnop"]


groups = st.lists(st.integers(0, 3), min_size=12, max_size=12).map(
    lambda label: [
        "".join(letter for letter, each in zip("abcdefghijkl", label, strict=True) if each == group)
        for group in range(1, 4)
        if sum(each == group for each in label) >= 3
    ]
)


@given(st.lists(groups, min_size=1, max_size=5))
def test_changes_add_up_to_the_members_and_judging_again_changes_nothing(days: list[list[str]]) -> None:
    history: list[Change] = []
    for day, today in enumerate(days):
        history = run(history, day, today)
        assert sorted(members(history, day).values()) == sorted(today)
        assert run(history, day, today) == history
    # An older time judged once more gives that time's changes again.
    assert run(history, 0, days[0]) == history


@given(groups, groups)
def test_order_does_not_matter(yesterday: list[str], today: list[str]) -> None:
    before = {cluster_id(list(group)): list(group) for group in yesterday}
    now = {cluster_id(list(group)): list(group) for group in today}
    wanted = identities(now, before)
    assert len(set(wanted.values())) == len(now)
    for order in permutations(now.items()):
        assert identities(dict(order), dict(reversed(before.items()))) == wanted
