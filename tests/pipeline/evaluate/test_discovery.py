"""False discovery rates: the three references, and rates counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.detectors import get_detector
from pipeline.evaluate import discovery
from pipeline.evaluate.discovery import CLEAN, CONTAMINATED, OWN, SCORED, Lists, Task
from pipeline.evaluate.product import Judged
from pipeline.evaluate.worlds import EvaluationSettings, Truth
from pipeline.signals import SignalTable

SETTINGS = EvaluationSettings(accounts=40, records=60, seed=5, attack_share=0.2, days=3)


def table(values: list[float], records: int = 100) -> SignalTable:
    n = len(values)
    ids = np.array([f"a{i:03d}" for i in range(n)], object)
    return SignalTable(ids, np.full(n, records), {"x": np.array(values)})


def test_references_hold_whom_they_should() -> None:
    attack = np.array([False] * 950 + [True] * 50)
    mine = table([float(i) for i in range(1000)])
    strangers = table([5000.0, 5001.0])
    found = discovery.references(mine, attack, strangers, seed=3)
    assert found[OWN] is mine
    assert found[CLEAN].columns["x"].tolist() == [float(i) for i in range(950)]
    dirty = found[CONTAMINATED].columns["x"]
    assert (dirty >= 5000).mean() == pytest.approx(0.05, abs=1e-9)
    assert set(dirty[dirty >= 5000]) == {5000.0, 5001.0}
    assert not set(dirty) & {950.0, 999.0}


def lists(listed: list[bool], attack: list[bool], seed: int, special: int = -1) -> Lists:
    truth = tuple(
        Truth(f"a{i}", "harvest" if bad else "chat", bad, None, 100, 0, (), i == special)
        for i, bad in enumerate(attack)
    )
    judged = Judged(replace(SETTINGS, seed=seed), truth, (), 0, {})
    row = np.array(listed)
    return Lists("g", judged, dict.fromkeys(discovery.WAYS, row), table([]))


def test_rates_are_counted_by_hand() -> None:
    worlds = [
        lists([True, True, False, False], [True, False, False, False], 1, special=1),
        lists([False] * 4, [False] * 4, 2),
        lists([True, False, False, False], [True, True, False, False], 3),
    ]
    found = discovery.summarise_lists(worlds)
    each = found[SCORED]
    assert found["attackers"] == 3
    # Half, an empty list, none: the rate is the mean over lakes, an empty list has no false discovery.
    assert each["false_discovery"]["value"] == pytest.approx(1 / 6)
    assert each["false_discovery_pooled"]["value"] == pytest.approx(1 / 3)
    assert each["worst_false_discovery"] == 0.5
    assert each["worlds_that_accuse"]["count"] == 1
    assert each["specialists_accused"] == {
        "value": 1.0,
        "low": pytest.approx(0.2065, abs=1e-3),
        "high": 1.0,
    } | {
        "count": 1,
        "of": 1,
        "per_seed": [1.0, None, None],
    }
    assert each["found"]["value"] == pytest.approx(2 / 3)


def test_a_world_is_scored_and_judged_in_every_way() -> None:
    groups = [("rich", SETTINGS), ("none", replace(SETTINGS, seed=6, attack_share=0.0))]
    asked: list[list[Task]] = []

    def in_order(work: object, tasks: list[Task]) -> list[Lists]:
        asked.append(list(tasks))
        return [work(task) for task in tasks]  # type: ignore[operator]

    found = discovery.run(groups, "robust", 0.2, in_order)  # type: ignore[arg-type]
    # Those with attackers first; the others' references are contaminated with these.
    assert [[task.group for task in tasks] for tasks in asked] == [["rich"], ["none"]]
    assert asked[1][0].strangers is not None
    assert len(asked[1][0].strangers) > 0
    assert list(found["groups"]) == ["rich", "none"]
    assert found["groups"]["none"]["attackers"] == 0
    assert set(discovery.WAYS) <= set(found["groups"]["rich"])


def test_lists_follow_the_reference_they_are_made_by() -> None:
    class Ranks:
        """Judges by the share of the population that is as large."""

        def reference(self, _name: str, table: SignalTable) -> np.ndarray:
            return table.columns["x"]

        def judge(self, table: SignalTable, reference: np.ndarray) -> object:
            above = (reference[None] >= table.columns["x"][:, None]).sum(axis=1)

            class Found:
                p_value = (above + 1) / (len(reference) + 1)

            return Found

    mine = table([float(i) for i in range(200)] + [1e6])
    few = discovery.list_by(Ranks(), mine, mine, 0.05)  # type: ignore[arg-type]
    clean = discovery.list_by(Ranks(), mine, discovery.rows_of(mine, mine.columns["x"] < 150), 0.05)  # type: ignore[arg-type]
    assert clean.sum() > few.sum()
    assert get_detector("robust").name == "robust"
