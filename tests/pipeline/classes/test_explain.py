"""What is said of an account and its class."""

from __future__ import annotations

import json

import numpy as np
import pytest
import synthetic_lakes as lakes

from pipeline.classes import Classes, explain
from pipeline.signals import SignalTable


@pytest.fixture(scope="module")
def classes() -> Classes:
    return lakes.shipped()


def told(classes: Classes, centre: np.ndarray, tokens: float) -> dict[str, object]:
    lake = lakes.lake(800, 31, missing=0.0)
    columns = {
        name: np.append(column, centre[j])
        for j, (name, column) in enumerate(lake.values.columns.items())
        if j < 5
    }
    columns["output_tokens"] = np.append(lake.values.columns["output_tokens"], tokens)
    values = lakes.table(columns)
    ranks = lakes.ranked(values)
    found = explain(values, ranks, classes.assign(ranks), classes, 800)
    json.dumps(found)
    return found


def test_a_member_is_typical(classes: Classes) -> None:
    found = told(classes, lakes.CENTRES[0], 200.0)
    assert found["fit"] > 0.5
    assert found["untypical"] == []
    assert {each["signal"] for each in found["typical"]} >= {"output_tokens", "hour_entropy"}
    assert found["best_class"] != found["second_class"]
    assert "it fits" in found["sentence"]


def test_one_odd_signal_is_named_with_its_rank_in_the_class(classes: Classes) -> None:
    found = told(classes, lakes.CENTRES[0], 900.0)
    assert [each["signal"] for each in found["untypical"]] == ["output_tokens"]
    odd = found["untypical"][0]
    assert odd["rank_in_class"] > 0.99
    assert odd["median_in_class"] == pytest.approx(200, abs=15)
    assert f"higher than {odd['rank_in_class']:.1%} of «{found['best_class']}»" in odd["sentence"]
    assert "against it, 1 of 6 signals are unusual" in found["sentence"]
    assert found["unusual"] == {"signals": 1, "of": 6, "expected": pytest.approx(0.6)}


def test_an_account_like_nobody_fits_badly(classes: Classes) -> None:
    found = told(classes, np.array([3.0, -3.0, 3.0, -3.0, 3.0]), 200.0)
    assert found["fit"] < 0.05
    assert "fits badly" in found["sentence"]


def test_only_the_signals_asked_for_and_none_without_a_value(classes: Classes) -> None:
    lake = lakes.lake(20, 32)
    lake.values.columns["output_tokens"][3] = np.nan
    members = classes.assign(lake.ranks)
    one = explain(lake.values, lake.ranks, members, classes, 3, ["output_tokens", "unknown"])
    assert one["typical"] == one["untypical"] == []
    two = explain(lake.values, lake.ranks, members, classes, 4, ["output_tokens"])
    assert {each["signal"] for each in (*two["typical"], *two["untypical"])} <= {"output_tokens"}


def test_neighbours_do_not_matter(classes: Classes) -> None:
    lake = lakes.lake(20, 33)

    def alone(table: SignalTable) -> SignalTable:
        columns = {name: column[5:6] for name, column in table.columns.items()}
        return SignalTable(table.account_id[5:6], table.records[5:6], columns)

    members = classes.assign(lake.ranks)
    among = explain(lake.values, lake.ranks, members, classes, 5)
    assert explain(alone(lake.values), alone(lake.ranks), members[5:6], classes, 0) == among
