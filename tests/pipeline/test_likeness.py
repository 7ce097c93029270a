"""What is to be expected of an honest account is about what honest accounts show, in each class of a lake without attackers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from pipeline.detectors import get_detector
from pipeline.evaluate.worlds import EvaluationSettings
from pipeline.fit.labelled import WorldPlan, build
from pipeline.likeness import HIGHEST, Likeness, NextInLine, find_classes, likeness
from pipeline.signals import Population, SignalTable

if TYPE_CHECKING:
    from typing import Any

    from pipeline.detectors.base import Judgement


class Honest(NamedTuple):
    alike: Likeness
    judgement: Judgement
    company: NextInLine
    told: list[dict[str, Any]]


@pytest.fixture(scope="module")
def honest() -> Honest:
    settings = EvaluationSettings(accounts=600, records=150, seed=90_001, attack_share=0.0, days=10.0)
    world = build(WorldPlan(settings, tameness=0.6))
    names = np.array([f"a{row:05d}" for row in range(len(world))], object)
    table = SignalTable(names, world.records, world.values)
    detector = get_detector("forest")
    reference = detector.reference("lake", table, Population.empty())
    classes = find_classes(table, reference, detector.judge(table, reference))
    alike = likeness(table, reference.with_classes(classes.references))
    judgement = detector.judge(table, reference.with_classes(classes.references))
    company = alike.next_in_line(judgement, np.zeros(len(table), bool))
    told = [alike.explanation(judgement, row, company) for row in range(len(table))]
    return Honest(alike, judgement, company, told)


def shares(honest: Honest, rows: np.ndarray) -> tuple[float, float]:
    """Mean over accounts of the share of signals that are unusual, and of the share that was to be expected."""
    told = [honest.told[row]["unusual"] for row in rows.tolist()]
    return (
        float(np.mean([each["signals"] / each["of"] for each in told])),
        float(np.mean([each["expected"] / each["of"] for each in told])),
    )


def test_of_honest_accounts_with_small_p_values_as_much_is_unusual_as_is_said_to_be_expected(
    honest: Honest,
) -> None:
    own, expected = shares(honest, np.argsort(honest.judgement.p_value)[:HIGHEST])
    assert own == pytest.approx(expected, rel=0.1)
    # Another expectation would be wrong: one in ten of the signals that drove the score, and that of all accounts.
    drivers = [honest.told[row]["named"] for row in np.argsort(honest.judgement.p_value)[:HIGHEST].tolist()]
    assert np.mean([each["signals"] / each["of"] for each in drivers]) > 2 * expected
    assert shares(honest, np.arange(len(honest.told)))[0] < 0.7 * expected


def test_the_expectation_is_about_true_in_each_class(honest: Honest) -> None:
    best = np.array([each["best_class"] for each in honest.told])
    looked = 0
    for name in np.unique(best):
        mine = np.flatnonzero(best == name)
        own, expected = shares(honest, mine)
        assert own < 1.1 * expected, name
        highest = mine[np.argsort(honest.judgement.p_value[mine])][:8]
        own, expected = shares(honest, highest)
        # Few accounts, and most classes have none of the lake's smallest p-values: it may err for the account, not against it.
        assert 0.3 * expected < own < 1.4 * expected, name
        looked += 1
    assert looked >= 8


def test_an_explanation_is_held_against_few_honest_accounts_even_if_they_look_bad(honest: Honest) -> None:
    suspicious = np.flatnonzero(honest.judgement.p_value < 0.05)
    against = [
        "against it" in honest.told[row]["sentence"] or "fits badly" in honest.told[row]["sentence"]
        for row in suspicious.tolist()
    ]
    assert len(against) >= 10
    assert np.mean(against) < 0.2


def test_nobody_is_company_to_itself_nor_is_anybody_of_the_list(honest: Honest) -> None:
    listed = np.zeros(len(honest.told), bool)
    listed[honest.company.rows[:3]] = True
    without = honest.alike.next_in_line(honest.judgement, listed)
    assert not set(without.rows.tolist()) & set(np.flatnonzero(listed).tolist())
    assert len(honest.company.but(int(honest.company.rows[0])).shares) == len(honest.company.rows) - 1


def test_the_order_of_accounts_does_not_matter(honest: Honest) -> None:
    turn = np.arange(len(honest.told))[::-1]

    alike, judgement = honest.alike, honest.judgement
    other = Likeness(
        alike.classes,
        alike.values.take(turn),
        alike.ranks.take(turn),
        alike.memberships[turn],
        shipped=alike.shipped,
    )
    judged = type(judgement)(
        judgement.score[turn],
        judgement.p_value[turn],
        {name: each[turn] for name, each in judgement.ranks.items()},
        {name: each[turn] for name, each in judgement.contributions.items()},
    )
    company = other.next_in_line(judged, np.zeros(len(turn), bool))
    row = int(honest.company.rows[0])
    assert other.explanation(judged, len(turn) - 1 - row, company) == honest.told[row]
