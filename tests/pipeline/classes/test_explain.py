"""What is said of an account and its class."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import synthetic_lakes as lakes

from pipeline.classes import Classes, Company, explain, unusual_signals


@pytest.fixture(scope="module")
def classes() -> Classes:
    return lakes.shipped()


def company(share: float, fit: float, accounts: int = 50) -> Company:
    return Company(np.full(accounts, share), np.full(accounts, fit), "of the test")


def told(classes: Classes, centre: np.ndarray, tokens: float, among: Company | None = None) -> dict[str, Any]:
    lake = lakes.lake(800, 31, missing=0.0)
    columns = {
        name: np.append(column, centre[j])
        for j, (name, column) in enumerate(lake.values.columns.items())
        if j < 5
    }
    columns["output_tokens"] = np.append(lake.values.columns["output_tokens"], tokens)
    values = lakes.table(columns)
    ranks = lakes.ranked(values)
    found = explain(values, ranks, classes.assign(ranks), classes, 800, None, among)
    json.dumps(found)
    return found


def test_a_member_is_typical(classes: Classes) -> None:
    found = told(classes, lakes.CENTRES[0], 200.0)
    assert found["fit"] > 0.5
    assert found["untypical"] == []
    assert {each["signal"] for each in found["typical"]} >= {"output_tokens", "hour_entropy"}
    assert found["best_class"] != found["second_class"]
    assert "neither is held against it" in found["sentence"]
    among = told(classes, lakes.CENTRES[0], 200.0, company(0.1, 0.5))
    assert "would explain it" in among["sentence"]
    assert "against" not in among["sentence"]


def test_one_odd_signal_is_named_with_its_rank_in_the_class(classes: Classes) -> None:
    found = told(classes, lakes.CENTRES[0], 900.0)
    assert [each["signal"] for each in found["untypical"]] == ["output_tokens"]
    odd = found["untypical"][0]
    assert odd["rank_in_class"] > 0.99
    assert odd["median_in_class"] == pytest.approx(200, abs=15)
    assert f"higher than {odd['rank_in_class']:.1%} of «{found['best_class']}»" in odd["sentence"]
    # Nobody to compare with: it is told, and held against nobody.
    assert "1 of 6 signals are unusual" in found["sentence"]
    assert "What is to be expected of an account with such a score is not known here" in found["sentence"]
    assert "against it, " not in found["sentence"]
    assert found["unusual"] == {
        "signals": 1, "of": 6, "expected": None, "accounts": None, "as_many": None, "as_far": None
    }  # fmt: skip


def test_unusual_signals_speak_against_only_what_hardly_any_comparable_account_shows(
    classes: Classes,
) -> None:
    found = told(classes, lakes.CENTRES[0], 900.0, company(0.1, 0.5))
    assert "against it, 1 of 6 signals are unusual" in found["sentence"]
    assert (
        "of the 50 accounts of the test, each in its own class, 0 have as large a share" in found["sentence"]
    )
    assert found["unusual"] == {
        "signals": 1, "of": 6, "expected": pytest.approx(0.6), "accounts": 50, "as_many": 0, "as_far": 50
    }  # fmt: skip
    same = told(classes, lakes.CENTRES[0], 900.0, company(1 / 6, 0.5))
    assert "against" not in same["sentence"]
    assert same["unusual"]["as_many"] == 50
    few = told(classes, lakes.CENTRES[0], 900.0, company(0.1, 0.5, accounts=9))
    assert few["unusual"]["expected"] is None


def test_an_account_like_nobody_fits_badly_unless_comparable_ones_do(classes: Classes) -> None:
    alone = np.array([3.0, -3.0, 3.0, -3.0, 3.0])
    found = told(classes, alone, 200.0, company(0.1, 0.5))
    assert found["fit"] < 0.05
    assert "fits badly" in found["sentence"]
    assert "fits badly" not in told(classes, alone, 200.0)["sentence"]
    found = told(classes, alone, 200.0, company(1.0, 0.0))
    assert "fits badly" not in found["sentence"]
    assert "50 lie as far from the middle" in found["sentence"]


def test_drivers_are_named_as_what_they_are_and_not_counted(classes: Classes) -> None:
    lake = lakes.lake(800, 31, missing=0.0)
    columns = {name: np.append(column, column[0]) for name, column in lake.values.columns.items()}
    columns["output_tokens"][-1] = 9000.0
    values = lakes.table(columns)
    ranks = lakes.ranked(values)
    members = classes.assign(ranks)
    every = explain(values, ranks, members, classes, 800, None, company(0.5, 0.5))
    found = explain(values, ranks, members, classes, 800, ["output_tokens"], company(0.5, 0.5), shipped=True)
    assert found["named"] == {"signals": 1, "of": 1}
    assert found["unusual"] == every["unusual"]
    assert found["unusual"]["of"] == 6
    assert "chosen because they stand out, 1 is unusual in the class" in found["sentence"]
    assert "that ship" in found["sentence"]
    assert "that ship" not in every["sentence"]


def test_unusual_signals_are_those_outside_the_class_middle(classes: Classes) -> None:
    lake = lakes.lake(400, 35)
    each = classes.each[1]
    odd, known = unusual_signals(lake.values, each)
    for row in (0, 7, 399):
        ranks = [
            float(each.signals[name].rank(column[row : row + 1])[0])
            for name, column in lake.values.columns.items()
        ]
        assert known[row] == sum(not np.isnan(rank) for rank in ranks)
        assert odd[row] == sum(rank < 0.05 or rank > 0.95 for rank in ranks)


def test_only_the_signals_asked_for_and_none_without_a_value(classes: Classes) -> None:
    lake = lakes.lake(20, 32)
    lake.values.columns["output_tokens"][3] = np.nan
    members = classes.assign(lake.ranks)
    one = explain(lake.values, lake.ranks, members, classes, 3, ["output_tokens", "unknown"])
    assert one["typical"] == one["untypical"] == []
    two = explain(lake.values, lake.ranks, members, classes, 4, ["output_tokens"])
    assert {each["signal"] for each in (*two["typical"], *two["untypical"])} <= {"output_tokens"}


def test_neighbours_do_not_matter(classes: Classes) -> None:
    lake, alone = lakes.lake(20, 33), np.array([5])
    members = classes.assign(lake.ranks)
    among = explain(lake.values, lake.ranks, members, classes, 5)
    assert explain(lake.values.take(alone), lake.ranks.take(alone), members[5:6], classes, 0) == among
