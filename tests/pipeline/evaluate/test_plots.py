"""Charts: drawn from the figures alone, the same figures the same file, and told apart without colour."""

from __future__ import annotations

import builtins
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.cli.main import run
from pipeline.errors import UsageError
from pipeline.evaluate import plots
from pipeline.evaluate.curves import PLACES, RATES, curves
from pipeline.evaluate.product import Judged, Outcome
from pipeline.evaluate.report import summarise
from pipeline.evaluate.worlds import EvaluationSettings, Truth

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = EvaluationSettings(accounts=200, seed=5, attack_share=0.1)


def judged(looks: tuple[int, ...] = (50, 100)) -> Judged:
    rng = np.random.default_rng(3)
    kinds = ["chat"] * 120 + ["tutoring"] * 60 + ["harvest"] * 20
    attack = np.array([kind == "harvest" for kind in kinds])
    truth = tuple(
        Truth(f"a{i}", kind, bool(bad), None, 200, 200 * int(bad), (), kind == "tutoring")
        for i, (kind, bad) in enumerate(zip(kinds, attack, strict=True))
    )
    score = rng.normal(size=200) + 3 * attack
    score[-1] = -10.0  # below everybody: found only where all are accused
    ours = Outcome(
        score,
        score > 3,
        np.zeros(200, bool),
        (),
        {look: score + look / 100 for look in looks},
        dict.fromkeys(looks, score > 3),
    )
    return Judged(SETTINGS, truth, (), 40_000, {"ours": ours, "volume": Outcome(rng.normal(size=200))}, "g")


def test_curves_are_plain_counting() -> None:
    world = judged()
    outcome = world.outcomes["ours"]
    found = curves([world], [outcome])
    benign, attackers = outcome.score[~world.attack], outcome.score[world.attack]
    for rate, share in zip(RATES, found["roc"]["found"], strict=True):
        plain = np.mean([(benign >= score).mean() <= rate for score in attackers])
        assert share == pytest.approx(plain)
    assert found["roc"]["found"][-1] == 1.0
    order = np.argsort(-outcome.score)
    for place, recall in zip(PLACES, found["queue"]["recall"], strict=True):
        assert recall == pytest.approx(world.attack[order[: max(1, round(place * 200))]].sum() / 20)
    quartiles = found["score_by_records"]["attackers"]["100"]
    assert quartiles["accounts"] == 20
    assert quartiles["median"] == pytest.approx(np.median(attackers) + 1)
    assert set(found["score_by_records"]) == {"attackers", "chat", "tutoring"}


def test_every_chart_is_drawn_from_the_json(tmp_path: Path) -> None:
    summary = json.loads(json.dumps(summarise([judged()]), allow_nan=False))
    made = plots.draw(summary, tmp_path / "a")
    assert [path.name for path in made] == [
        "score-by-records.svg", "found.svg", "accused.svg", "roc.svg", "queue.svg"
    ]  # fmt: skip
    for path in made:
        text = path.read_text()
        assert text.startswith("<?xml")
        assert "ours" in text or "attackers" in text
    assert "tutoring (60)" in (tmp_path / "a" / "accused.svg").read_text()
    again = plots.draw(summary, tmp_path / "b")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made]


def test_charts_without_figures_are_left_out(tmp_path: Path) -> None:
    made = plots.draw(summarise([judged(())]), tmp_path, "x-")
    assert [path.name for path in made] == ["x-found.svg", "x-accused.svg", "x-roc.svg", "x-queue.svg"]


def test_nothing_is_told_by_colour_alone() -> None:
    assert len(set(plots.COLOURS)) == len(plots.COLOURS)
    assert len(set(plots.MARKERS)) >= 9
    assert len({str(dash) for dash in plots.DASHES}) == len(plots.DASHES) >= 9


def test_without_matplotlib_the_way_out_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"distillwatch\[plots\]"):
        plots.need_matplotlib()
    assert run(["evaluate", "--plots", str(tmp_path / "p"), "--simulated-prompts"]) == 2
    assert "distillwatch[plots]" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
