"""What clusters are calibrated on: whole worlds, of every share of attackers, with fleets and without."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from pipeline.clusters.models import SURE_TIES, shipped, shipped_null
from pipeline.fit import clusters
from pipeline.fit.clusters import WHOLE_FLEETS, WHOLE_SHARES, Groups, whole_settings

if TYPE_CHECKING:
    import pytest


def test_whole_worlds_are_as_lakes_are() -> None:
    drawn = [whole_settings(seed, Path()) for seed in range(530_000, 530_016)]
    assert {each.accounts for each, _ in drawn} == {3000}
    pairs = sorted((each.attack_share, groups.fleet_share) for each, groups in drawn)
    assert pairs == sorted((share, fleets) for share in WHOLE_SHARES for fleets in WHOLE_FLEETS)


def test_the_null_is_of_whole_worlds_benign_groups_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = [np.array(each) for each in ([0.0, 1.0], [0.2], [0.49, 0.5, 0.0], [])]
    scores = [np.array(each) for each in ([1.0, 2.0], [3.0], [6.0, 5.0, 4.0], [])]
    made = iter(attack)

    def groups(*_: object) -> Groups:
        each = next(made)
        return Groups([], {"likeness": each * 10}, each)

    nothing = SimpleNamespace(target=np.zeros(1, bool), to_json=dict)
    monkeypatch.setattr(clusters, "pairs_of", lambda *_: nothing)
    monkeypatch.setattr(clusters, "fit_pairs", lambda *_: nothing)
    monkeypatch.setattr(clusters, "groups_of", groups)
    monkeypatch.setattr(clusters, "fit_groups", lambda *_: nothing)
    monkeypatch.setattr(clusters, "cross_scores", lambda *_: scores)
    worlds = [SimpleNamespace()] * 4
    value, _, _ = clusters.figures(worlds, [1, 2, 8, 9], 2, Console(quiet=True))  # type: ignore[arg-type]
    assert value["null"] == {"likeness": [0.0, 4.9], "score": [4.0, 6.0]}
    assert value["worlds"]["count"] == 2
    assert (value["worlds"]["whole"]["first_seed"], value["worlds"]["whole"]["count"]) == (8, 2)


def test_what_ships_was_calibrated_on_enough_whole_worlds() -> None:
    whole = shipped()["worlds"]["whole"]
    assert whole["accounts"] >= 3000
    assert whole["count"] >= 2 * len(WHOLE_SHARES) * len(WHOLE_FLEETS)
    null = shipped_null()
    # A list of fifty groups alerts on one of them from p = .001 on; beyond what was counted a tail is fitted.
    assert all(len(null.part(number)) >= 100 for number in range(len(SURE_TIES) + 1))
