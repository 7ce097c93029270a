"""Figures of the report that a world of a few lines can be counted by hand for."""

from __future__ import annotations

import numpy as np

from pipeline.evaluate.product import Judged, Outcome
from pipeline.evaluate.report import plain, summarise
from pipeline.evaluate.worlds import EvaluationSettings, Truth

SETTINGS = EvaluationSettings(accounts=60, seed=5, attack_share=0.2)


def member(i: int, kind: str, records: int, bad: int = 0, **more: object) -> Truth:
    return Truth(
        f"a{i:02d}", kind, bad > 0, "c" if kind == "hydra" else None, records, bad, (), False, **more
    )  # type: ignore[arg-type]


def world() -> Judged:
    """40 honest accounts (two on a campus), six members of a hydra of which four are thin, six diluted accounts."""
    truth = [member(i, "chat" if i < 30 else "support_bot", 200, campus=i < 2) for i in range(40)]
    truth += [member(40 + i, "hydra", 30 if i < 4 else 120, 30 if i < 4 else 120) for i in range(6)]
    truth += [member(46 + i, "diluted_10", 100 if i < 4 else 600, 10 if i < 4 else 60) for i in range(6)]
    listed, by_cluster = np.zeros(52, bool), np.zeros(52, bool)
    listed[[0, 46, 47, 50]] = True
    by_cluster[[30, 31, 32, 40, 41, 42, 44]] = True
    clusters = (("a40", "a41", "a42", "a44"), ("a30", "a31", "a32"))
    early = {50: np.zeros(52, bool), 100: listed.copy(), 200: listed.copy()}
    early[100][50] = False
    outcome = Outcome(
        np.arange(52.0), listed, by_cluster, clusters, {n: np.arange(52.0) for n in early}, early
    )
    return Judged(SETTINGS, tuple(truth), (), 9000, {"ours": outcome})


def test_thin_members_count_for_campaigns_and_by_themselves() -> None:
    d = summarise([world()])["detectors"]["ours"]
    assert summarise([world()])["worlds"][0]["attackers_with_too_few_records"] == 4
    thin = d["alert_list_with_clusters"]["members_with_too_few_records"]
    assert (thin["count"], thin["of"]) == (3, 4)
    # Four of six members: the campaign is found, though one alone could be judged.
    assert (d["alert_list"]["campaigns"]["count"], d["alert_list"]["campaigns"]["of"]) == (1, 1)
    # The rates are of accounts that can be judged.
    assert d["alert_list_with_clusters"]["detection"]["hydra"]["of"] == 2
    assert d["alert_list_with_clusters"]["detection"]["hydra"]["count"] == 1


def test_benign_clusters_say_whom_they_hold() -> None:
    d = summarise([world()])["detectors"]["ours"]
    assert d["clusters"] == {"attacking": 1, "benign": 1, "members_of_benign": {"support_bot": 3}}
    assert d["alert_list_with_clusters"]["false_positives"]["support_bot"]["count"] == 3
    # One accused, of four; with clusters four of eleven.
    assert d["alert_list"]["false_discovery"]["value"] == 0.25
    assert d["alert_list_with_clusters"]["false_discovery"]["value"] == 4 / 11
    assert d["alert_list"]["false_positives"]["on a campus"]["count"] == 1
    assert d["alert_list"]["false_positives"]["on a campus"]["of"] == 2


def test_dilution_is_what_the_records_hold() -> None:
    table = summarise([world()])["detectors"]["ours"]["alert_list"]["detection_by_dilution"]
    assert (table["10 %"]["all"]["count"], table["10 %"]["all"]["of"]) == (3, 6)
    assert (table["10 %"]["100"]["count"], table["10 %"]["100"]["of"]) == (2, 4)
    assert (table["10 %"]["500"]["count"], table["10 %"]["500"]["of"]) == (1, 2)
    assert table["pure"]["all"]["of"] == 2  # thin ones are not judged alone
    assert table["5 %"]["all"]["of"] == 0


def test_records_until_listed_are_those_of_the_first_list() -> None:
    looks = summarise([world()])["detectors"]["ours"]["looks"]
    assert looks["records_until_listed"] == {
        "found": 3,
        "lower_quartile": 100.0,
        "median": 100.0,
        "upper_quartile": 200.0,
    }


def test_figures_are_plain_json() -> None:
    assert plain({"a": [float("nan"), (1.0, float("inf"))]}) == {"a": [None, [1.0, None]]}
