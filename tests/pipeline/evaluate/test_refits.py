"""Detectors fitted anew: what is left out is not in the fit, and what is judged is it alone."""

from __future__ import annotations

import builtins
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from pipeline.detectors.base import Judgement
from pipeline.detectors.reference import Reference
from pipeline.errors import UsageError
from pipeline.evaluate import refits
from pipeline.evaluate.refits import FULL, Source, ablation, judge_matrix, transfer
from pipeline.evaluate.tables import print_transfer
from pipeline.evaluate.worlds import EvaluationSettings
from pipeline.fit.labelled import LabelledWorld
from pipeline.signals import Population
from pipeline.signals.every import FAMILY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.fit.labelled import WorldPlan
    from pipeline.signals import SignalTable

SETTINGS = EvaluationSettings(accounts=100, seed=5, attack_share=0.2)
# One tells attackers, one says nothing.
NAMES = ("topic_entropy", "hour_entropy")


def world(seed: int, kinds: Sequence[str] = ("chat", "tutoring", "harvest")) -> LabelledWorld:
    rng = np.random.default_rng(seed)
    kind = np.array([kinds[i % len(kinds)] for i in range(120)], object)
    attack = np.array([each in {"harvest", "pivot", "diluted_10"} for each in kind])
    values = {NAMES[0]: rng.normal(size=120) + 6 * attack, NAMES[1]: rng.normal(size=120)}
    return LabelledWorld(
        values, attack, kind, np.full(120, "", object), np.full(120, 90), seed, kind == "tutoring"
    )


class Mean:
    """Scores by the mean of the ranks it was given; p-values by the middle of the population."""

    name, fingerprint = "mean", ""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def reference(self, name: str, table: SignalTable, population: Population | None = None) -> Reference:
        return Reference.of(name, table, population or Population.empty())

    def judge(self, table: SignalTable, reference: Reference) -> Judgement:
        ranks = {name: reference.signals[name].rank(table.columns[name]) for name in self.names}
        score = np.mean(list(ranks.values()), axis=0)
        return Judgement(score, np.where(score > 0.9, 1e-6, 0.5), ranks, ranks)


class Fits:
    """Remembers what it was fitted on."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[LabelledWorld], list[str]]] = []

    def __call__(self, found: Sequence[LabelledWorld], names: Sequence[str], seed: int) -> Any:
        self.calls.append((list(found), list(names)))
        return Mean(names)


class Given(Source):
    """Worlds by their settings, remembered."""

    def __init__(self, kinds: Sequence[str]) -> None:
        super().__init__(None)
        object.__setattr__(self, "kinds", kinds)
        object.__setattr__(self, "asked", [])

    __slots__ = ("asked", "kinds")

    def worlds(self, wanted: Sequence[WorldPlan], report: Any, what: str) -> list[LabelledWorld]:
        self.asked.append((what, [plan.settings for plan in wanted]))
        return [world(plan.settings.seed, self.kinds) for plan in wanted]


def test_a_matrix_is_judged_as_the_product_would() -> None:
    judged = judge_matrix(Mean(NAMES[:1]), world(1), SETTINGS, 0.05, "here")
    outcome = judged.outcomes[refits.REFITTED]
    assert outcome.listed is not None
    assert (outcome.listed == (outcome.score > 0.9)).all()
    assert sum(each.specialist for each in judged.truth) == 40
    assert judged.attack.sum() == 40
    assert judged.enough.all()
    unknown = judge_matrix(Mean(NAMES[:1]), replace(world(1), specialist=None), SETTINGS, 0.05, "here")
    assert not any(each.specialist for each in unknown.truth)


def test_an_ablation_leaves_out_one_family_at_a_time() -> None:
    fit = Fits()
    judged_in = [(world(3), SETTINGS), (world(4), SETTINGS)]
    found = ablation([world(1), world(2)], judged_in, fit, fdr=0.05)
    families = {FAMILY[name] for name in NAMES}
    assert set(found["rows"]) == {FULL} | {f"without {family}" for family in families}
    assert [names for _, names in fit.calls] == [[*NAMES], [NAMES[1]], [NAMES[0]]]
    rows = found["rows"]
    assert rows[FULL]["signals"] == 2
    assert rows["without clocks"]["auc"]["value"] == 1.0  # the one that tells is left
    assert rows["without coverage"]["auc"]["value"] < 0.7
    assert rows["without clocks"]["found_at_fpr"]["all"]["value"] == 1.0
    assert found["attackers"] == 80
    only = ablation([world(1)], judged_in, Fits(), families=["clocks"])
    assert set(only["rows"]) == {FULL, "without clocks"}
    with pytest.raises(UsageError, match="no family of signals weather"):
        ablation([world(1)], judged_in, Fits(), families=["weather"])


def test_without_a_kind_no_account_of_it_is_fitted_on() -> None:
    fit, source = Fits(), Given(("chat", "tutoring", "harvest", "diluted_10"))
    found = transfer(
        "kind", SETTINGS, fit, source, fit_worlds=2, fit_seed=900, fit_accounts=60, seeds=[7, 8], only=["diluted", "tutoring"]
    )  # fmt: skip
    assert list(found["rows"]) == ["diluted", "tutoring"]
    without_diluted, without_tutoring = (call[0] for call in fit.calls)
    for each in without_diluted:
        assert set(each.kind) == {"chat", "tutoring", "harvest"}
    for each in without_tutoring:
        assert set(each.kind) == {"chat", "harvest", "diluted_10"}
    # The worlds to fit on are asked for once, and hold none of the kinds that only evaluation has.
    what, settings = source.asked[0]
    assert what == "worlds to fit on"
    assert not any(each.beyond for each in settings)
    assert [len(each) for _, each in source.asked] == [2, 2, 2]
    assert found["rows"]["tutoring"]["accused_of_kind"]["list"]["of"] == 2 * 30
    assert "accused_of_kind" not in found["rows"]["diluted"]
    # Each class and kind has its rate, in the figures and in print.
    row = found["rows"]["tutoring"]
    accused = row["list"]["accused"]
    assert accused["chat"]["of"] == row["accused_at_fpr"]["chat"]["of"] == 2 * 30
    assert row["list"]["found_by_kind"]["harvest"]["count"] > 0
    stream = io.StringIO()
    print_transfer(found, Console(file=stream, width=250))
    accused_table, found_table = (
        stream.getvalue().split("Benign accounts in the list")[1].split("Attackers in")
    )
    lines = {line.split("  ")[0].strip(): line for line in (accused_table + found_table).splitlines()}
    for kind, rates in (("chat", "accused"), ("tutoring", "accused"), ("harvest", "found_by_kind")):
        rate = row["list"][rates][kind]
        assert f"{100 * rate['value']:.1f} ({rate['count']}/{rate['of']})" in lines[kind]
    assert "harvest" not in accused_table
    assert "chat" not in found_table
    # Only the left-out attack attacks where it is judged.
    assert {each.attacks for each in source.asked[1][1]} == {("diluted",)}


def test_without_a_source_the_worlds_to_fit_on_lack_it() -> None:
    fit, source = Fits(), Given(("chat", "harvest"))
    found = transfer(
        "source",
        SETTINGS,
        fit,
        source,
        fit_worlds=2,
        fit_seed=900,
        fit_accounts=60,
        seeds=[7],
        only=["gsm8k"],
    )
    fitted, judged = source.asked
    assert {each.without_sources for each in fitted[1]} == {("gsm8k",)}
    assert {each.harvested for each in judged[1]} == {("gsm8k",)}
    assert not {each.seed for each in fitted[1]} & {each.seed for each in judged[1]}
    assert found["rows"]["gsm8k"]["attackers"] == 60
    with pytest.raises(UsageError, match="each source or without each kind"):
        transfer("none", SETTINGS, fit, source, fit_worlds=2, fit_seed=1, fit_accounts=60, seeds=[1])
    with pytest.raises(UsageError, match="nothing to leave out is called moon"):
        transfer(
            "source",
            SETTINGS,
            fit,
            source,
            fit_worlds=2,
            fit_seed=1,
            fit_accounts=60,
            seeds=[1],
            only=["moon"],
        )


def test_without_scikit_learn_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"distillwatch\[fit\]"):
        refits.forest_fit()


def test_matrices_are_made_once_and_kept(tmp_path: Path) -> None:
    plans = refits.fit_plans(1, 77, None, 40)
    plan = replace(plans[0], settings=replace(plans[0].settings, accounts=40, records=60, days=2.0))
    said: list[tuple[int, int, str]] = []
    source = Source(tmp_path)
    (first,) = source.worlds([plan], lambda *each: said.append(each), "worlds")
    (path,) = tmp_path.iterdir()
    stamp = path.stat().st_mtime_ns
    (again,) = source.worlds([plan], lambda *_: None, "worlds")
    assert path.stat().st_mtime_ns == stamp
    assert (first.attack == again.attack).all()
    assert first.specialist is not None
    assert again.specialist is not None
    assert (first.specialist == again.specialist).all()
    assert said == [(1, 1, "worlds")]
    source.worlds([replace(plan, settings=replace(plan.settings, seed=78))], lambda *_: None, "worlds")
    assert len(list(tmp_path.iterdir())) == 2
