"""What is learned from verdicts: which accounts, with which ranks, in which folds; and the command around it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.cli.main import run
from pipeline.clock import ManualClock
from pipeline.detectors.forest.model import Forest
from pipeline.detectors.reference import Distribution
from pipeline.errors import UsageError
from pipeline.fit import forest as fitting
from pipeline.fit.forest import boost
from pipeline.fit.from_verdicts import (
    BETTER,
    EQUAL,
    FOLDS,
    MIXED,
    WORSE,
    Figures,
    Labelled,
    changes,
    compare,
    figures,
    folds_of,
    judged,
    labelled_accounts,
    outcome,
    weights,
)
from pipeline.fit.labelled import LabelledWorld
from pipeline.lake import Lake
from pipeline.tables import ACCOUNT_SCORES, SIGNAL_COLUMNS
from pipeline.verdicts import Verdict, record

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.parameters import Parameters
    from pipeline.signals import SignalTable

AS_OF = datetime(2026, 1, 12)
NAMES = SIGNAL_COLUMNS[:3]
SMALL = {"n_estimators": 15, "max_depth": 2, "min_samples_leaf": 5}


def said(subject: str, verdict: str, members: tuple[str, ...] = ()) -> Verdict:
    kind = "cluster" if members else "account"
    expires = datetime(2027, 1, 1) if verdict == "allowed" else None
    return Verdict(kind, subject, verdict, "r", "o", AS_OF, expires, members=members)


def scored_lake(folder: Path, parameters: Parameters, seed: int, accounts: int = 300) -> Lake:
    """Attackers (the first 40) are high in the first signal and low in the second."""
    rng = np.random.default_rng(seed)
    lake = Lake.create(folder, parameters=parameters, clock=ManualClock(datetime(2026, 2, 1, tzinfo=UTC)))
    attack = np.arange(accounts) < 40
    rows: list[dict[str, Any]] = []
    for number in range(accounts):
        values = rng.normal(size=3) + np.array([2.0, -2.0, 0.0]) * attack[number]
        signals = {name: float(value) for name, value in zip(NAMES, values, strict=True)}
        if number % 7 == 0:
            signals[NAMES[2]] = None  # type: ignore[assignment]
        rows.append(
            {
                "account_id": f"a{number:03d}",
                "as_of": AS_OF,
                "records": 10 if number in {1, 45} else 100,
                "decision": "clear",
                "detector": "d",
                **signals,
            }
        )
    old = [{**row, "as_of": datetime(2026, 1, 1), NAMES[0]: 99.0} for row in rows]
    for each in (rows, old):
        file = lake.put_table("account_scores", pa.Table.from_pylist(each, schema=ACCOUNT_SCORES))
        lake.publish(
            lambda manifest, file=file: manifest.with_tables("account_scores", [file], append=True)  # type: ignore[misc]
        )
    return lake


def decide(lake: Lake, attack: int = 40, benign: int = 150) -> None:
    """The first twenty attackers by one verdict on their cluster, the others one by one."""
    members = tuple(f"a{n:03d}" for n in range(min(attack, 20)))
    verdicts = [said("c1", "attack", members)] if members else []
    verdicts += [said(f"a{n:03d}", "attack") for n in range(20, attack)]
    verdicts += [said(f"a{n:03d}", "benign") for n in range(40, 40 + benign)]
    record(lake, [*verdicts, said("a299", "allowed"), said("a298", "undecided"), said("gone", "attack")])


@pytest.fixture
def lake(tmp_path: Path, small_parameters: Parameters) -> Lake:
    lake = scored_lake(tmp_path / "lake", small_parameters, 1)
    decide(lake)
    return lake


def world(seed: int) -> LabelledWorld:
    """Attackers are high in the third signal, which says nothing in the lakes."""
    rng = np.random.default_rng(seed)
    attack = np.arange(200) < 40
    values = {name: rng.normal(size=200) for name in NAMES}
    values[NAMES[2]][attack] += 2.0
    kind = np.where(attack, "harvest", "chat").astype(object)
    return LabelledWorld(values, attack, kind, np.full(200, "", object), np.full(200, 100), seed)


@cache
def base() -> Forest:
    """Something that leaves a lot to learn."""
    return fitting.fit([world(1), world(2)], NAMES, **SMALL)


def refit(start: Forest, ranks: SignalTable, attack: np.ndarray, weight: np.ndarray) -> Forest:
    """Stands for the fit: trees on the labelled accounts alone."""
    trees = boost(start.matrix(ranks.columns), attack, weight, 1, **SMALL)
    return replace(start, trees=trees, fitted={"refitted": True})


def test_accounts_with_an_answer_come_with_signals_and_ranks_of_the_newest_scoring(lake: Lake) -> None:
    found = labelled_accounts(lake.snapshot())
    # a001 and a045 have too few records; allowed and undecided are no answers.
    wanted = [f"a{n:03d}" for n in range(190) if n not in {1, 45}]
    assert found.table.account_id.tolist() == wanted == found.ranks.account_id.tolist()
    assert found.attack.tolist() == [name < "a040" for name in wanted]
    assert len({found.verdict_id[row] for row in range(19)}) == 1
    assert len(set(found.verdict_id)) == 1 + 20 + 149
    assert not (found.table.columns[NAMES[0]] == 99.0).any()
    # Ranks among all 298 that can be judged, not among the 188 that have an answer.
    rng = np.random.default_rng(1)
    attack = np.arange(300) < 40
    values = np.stack([rng.normal(size=3) + np.array([2.0, -2.0, 0.0]) * a for a in attack])[:, 0]
    everybody = np.delete(values, [1, 45])
    ranks = Distribution.of(everybody).rank(everybody)[:188]
    assert np.array_equal(found.ranks.columns[NAMES[0]], ranks)
    assert (
        np.isnan(found.ranks.columns[NAMES[2]]).sum() == np.isnan(found.table.columns[NAMES[2]]).sum() == 28
    )
    found.check()


def test_the_order_of_verdicts_says_nothing(tmp_path: Path, small_parameters: Parameters) -> None:
    digests = set()
    for name, flipped in (("one", False), ("other", True)):
        lake = scored_lake(tmp_path / name, small_parameters, 1)
        verdicts = [said(f"a{n:03d}", "attack" if n < 40 else "benign") for n in range(80)]
        for part in (verdicts[40:], verdicts[:40]) if flipped else (verdicts[:40], verdicts[40:]):
            record(lake, part)
        found = labelled_accounts(lake.snapshot())
        digests.add((found.digest, tuple(folds_of(found).tolist())))
    assert len(digests) == 1
    record(lake, [said("a100", "benign")])
    assert labelled_accounts(lake.snapshot()).digest not in {digest for digest, _ in digests}


@pytest.mark.parametrize(
    ("attack", "benign", "words"),
    [
        (20, 150, r"takes 1 more found attacking \(19 of 20\), of accounts"),
        (30, 60, r"takes 41 more found benign \(59 of 100\)"),
        (0, 0, r"20 more found attacking \(0 of 20\) and 100 more found benign \(0 of 100\)"),
    ],
)
def test_too_few_verdicts_are_refused_with_what_is_missing(
    tmp_path: Path, small_parameters: Parameters, attack: int, benign: int, words: str
) -> None:
    lake = scored_lake(tmp_path / "lake", small_parameters, 1)
    decide(lake, attack, benign)
    with pytest.raises(UsageError, match=words):
        labelled_accounts(lake.snapshot()).check()


def test_a_lake_that_was_never_scored_is_refused(tmp_path: Path, small_parameters: Parameters) -> None:
    lake = Lake.create(tmp_path / "lake", parameters=small_parameters)
    with pytest.raises(UsageError, match="never scored"):
        labelled_accounts(lake.snapshot())


def test_accounts_of_one_verdict_are_in_one_fold_and_answers_are_spread(lake: Lake) -> None:
    found = labelled_accounts(lake.snapshot())
    folds = folds_of(found)
    assert len(set(folds[:19].tolist())) == 1
    assert set(folds.tolist()) == set(range(FOLDS))
    benign = np.bincount(folds[~found.attack], minlength=FOLDS)
    assert benign.max() - benign.min() <= 1
    # The cluster fills one fold; the twenty others share the rest.
    assert sorted(np.bincount(folds[found.attack], minlength=FOLDS).tolist()) == [5, 5, 5, 5, 19]
    weight = weights(found)
    assert weight[:19].sum() == pytest.approx(19**0.5)
    assert set(weight[19:].tolist()) == {1.0}


def test_figures_are_counts_and_the_share_of_pairs_in_the_right_order() -> None:
    scores, p = np.array([3.0, 1.0, 2.0, 0.0]), np.array([0.001, 0.2, 0.01, 0.011])
    found = figures(scores, p, np.array([True, True, False, False]))
    assert (found.benign, found.false_positives, found.attack, found.found) == (2, 1, 2, 1)
    assert found.area == 0.75


def test_no_account_is_judged_by_a_forest_that_saw_it_or_its_cluster(lake: Lake) -> None:
    found = labelled_accounts(lake.snapshot())
    seen: list[set[str]] = []

    def spy(start: Forest, ranks: SignalTable, attack: np.ndarray, weight: np.ndarray) -> Forest:
        assert len(ranks) == len(attack) == len(weight)
        seen.append(set(ranks.account_id.tolist()))
        return refit(start, ranks, attack, weight)

    before, after = compare(base(), found, spy)
    everybody = set(found.table.account_id.tolist())
    left_out = [everybody - each for each in seen]
    assert sum(map(len, left_out)) == len(everybody) == len(set.union(*left_out))
    cluster = {name for name in everybody if name < "a020"}
    assert all(cluster <= each or not cluster & each for each in seen)
    assert (after.benign, after.attack) == (before.benign, before.attack) == (149, 39)
    assert after.area > before.area + 0.1


def test_several_lakes_are_learned_from_together(tmp_path: Path, small_parameters: Parameters) -> None:
    parts = []
    for seed in (1, 2):
        lake = scored_lake(tmp_path / str(seed), small_parameters, seed)
        decide(lake, 12, 60)
        parts.append(labelled_accounts(lake.snapshot()))
    both = Labelled.joined(parts)
    with pytest.raises(UsageError, match="too few"):
        parts[0].check()
    both.check()
    assert len(both) == len(parts[0]) + len(parts[1])
    assert np.array_equal(both.ranks.columns[NAMES[0]][len(parts[0]) :], parts[1].ranks.columns[NAMES[0]])
    # Each is judged among the accounts of its own lake.
    for one, other in zip(
        judged(base(), both), zip(*(judged(base(), part) for part in parts), strict=True), strict=True
    ):
        assert np.array_equal(one, np.concatenate(other), equal_nan=True)


def test_the_command_writes_a_forest_that_names_what_it_learned_from(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base().save(tmp_path / "base.npz")
    out = tmp_path / "mine.npz"
    words = [
        "refit",
        "--lake",
        str(lake.root),
        "--out",
        str(out),
        "--model",
        str(tmp_path / "base.npz"),
        "--format",
        "json",
    ]
    monkeypatch.setattr(fitting, "refit", refit, raising=False)
    before = lake.manifest()
    assert run(words) == 0
    said_now = capsys.readouterr()
    rows = json.loads(said_now.out)
    assert [(row["forest"], row["benign"], row["attack"]) for row in rows] == [
        ("before", 149, 39),
        ("after", 149, 39),
    ]
    made = Forest.load(out)
    assert made.fingerprint in said_now.err
    assert (made.fitted["first_seed"], made.fitted["refitted"]) == (1, True)
    assert made.fitted["verdicts"]["digest"] == labelled_accounts(lake.snapshot()).digest
    assert made.fitted["verdicts"]["base"] == base().fingerprint != made.fingerprint
    assert made.fitted["verdicts"]["after"] == rows[1]
    # A larger area, and more false positives at the level: it is written, and whoever reads knows.
    assert rows[1]["area_under_curve"] > rows[0]["area_under_curve"]
    assert made.fitted["verdicts"]["outcome"] == MIXED
    assert "better in one figure and WORSE in another" in said_now.err
    assert "not calibrated on whole worlds" in said_now.err
    assert lake.manifest() == before
    assert run(words) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("after", "wanted", "each"),
    [
        (Figures(200, 4, 20, 14, 0.9849), WORSE, [WORSE, WORSE, WORSE]),
        (Figures(200, 3, 20, 15, 0.99349), EQUAL, [EQUAL, EQUAL, EQUAL]),
        (Figures(200, 2, 20, 15, 0.9935), BETTER, [BETTER, EQUAL, EQUAL]),
        (Figures(200, 2, 20, 14, 0.9935), MIXED, [BETTER, WORSE, EQUAL]),
        (Figures(200, 2, 20, 14, 0.9936), MIXED, [BETTER, WORSE, BETTER]),
        # Whoever accuses everybody finds more.
        (Figures(200, 143, 20, 20, 0.3), WORSE, [WORSE, BETTER, WORSE]),
    ],
)
def test_before_and_after_are_one_word(after: Figures, wanted: str, each: list[str]) -> None:
    found = changes(Figures(200, 3, 20, 15, 0.9935), after)
    assert [change.outcome for change in found] == each
    assert outcome(found) == wanted


def test_a_worse_forest_is_said_to_be_and_not_written(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base().save(tmp_path / "base.npz")
    out = tmp_path / "mine.npz"
    words = ["refit", "--lake", str(lake.root), "--out", str(out), "--model", str(tmp_path / "base.npz")]

    def spoilt(start: Forest, ranks: SignalTable, attack: np.ndarray, weight: np.ndarray) -> Forest:
        return refit(start, ranks, ~attack, weight)

    monkeypatch.setattr(fitting, "refit", spoilt, raising=False)
    assert run(words) == 1
    said_now = capsys.readouterr()
    # Side by side, in words, and with the way out.
    lines = {line.split("  ")[0].strip(): line for line in said_now.out.splitlines()}
    assert lines["area_under_curve"].split()[-1] == "worse"
    assert "false_positives of 149" in lines
    assert "before" in lines["figure"]
    assert "after" in lines["figure"]
    assert "the new forest is WORSE" in said_now.err
    assert "is not written" in said_now.err
    assert "--even-if-worse" in said_now.err
    assert not out.exists()
    assert run([*words, "--even-if-worse"]) == 0
    assert "the new forest is WORSE" in capsys.readouterr().err
    assert Forest.load(out).fitted["verdicts"]["outcome"] == WORSE
