"""Every protocol from the command line, on worlds too small to say anything: the frame, not the figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.cli.main import run
from pipeline.detectors import get_detector
from pipeline.evaluate.unseen import UNSEEN

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SMALL = [
    *("--accounts", "40", "--records", "60", "--seeds", "1", "--days", "2", "--simulated-prompts"),
    *("--base-rates", "0.2"),
]


def figures(words: list[str], tmp_path: Path) -> Any:
    out = tmp_path / "figures.json"
    assert run(["evaluate", *words, "--json", str(out)]) == 0
    return json.loads(out.read_text())


def test_fdr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--protocol", "fdr", *SMALL, "--base-rates", "0.2,0", "--detector", "robust"]
    found = figures(words, tmp_path)
    assert list(found["groups"]) == ["20.0% attack", "0.0% attack"]
    printed = capsys.readouterr().out
    assert "where 5% was promised" in printed
    assert "contaminated" in printed


def test_looks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(["--protocol", "looks", *SMALL, "--alpha", "0.1"], tmp_path)
    assert set(found["schedules"]) == {"schedule", "every 50"}
    assert found["alpha"] == 0.1
    assert "ever accused live" in capsys.readouterr().out


class Fitted:
    """Stands for the fit: what it was given, and the shipped detector."""

    given: list[int]

    def __init__(self, **changes: Any) -> None:
        assert changes == {"n_estimators": 3}
        Fitted.given = []

    def __call__(self, found: Any, names: Any, seed: int) -> Any:
        Fitted.given.append(len(names))
        return get_detector("robust")


def test_ablation_and_transfer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.evaluate.refits.forest_fit", Fitted)
    fitting = ["--fit-worlds", "2", "--fit-accounts", "40", "--trees", "3", "--cache", str(tmp_path / "kept")]
    words = [
        "--protocol",
        "ablation",
        *SMALL,
        *fitting,
        "--only",
        "clocks",
        "--plots",
        str(tmp_path / "charts"),
    ]
    found = figures(words, tmp_path)
    assert list(found["rows"]) == ["all signals", "without clocks"]
    assert Fitted.given[1] < Fitted.given[0]
    assert (tmp_path / "charts" / "ablation.svg").exists()
    kept = set((tmp_path / "kept").iterdir())
    assert len(kept) == 3
    # The worlds to fit on are there already.
    words = ["--leave-out", "kind", "--refit", *SMALL, *fitting, "--only", "harvest"]
    found = figures(words, tmp_path)
    assert found["rows"]["harvest"]["benign_kind"] is False
    assert len(set((tmp_path / "kept").iterdir()) - kept) == 1
    printed = capsys.readouterr().out
    assert "without each family" in printed
    assert "Refitted without the kind that is judged" in printed
    assert run(["evaluate", "--refit", *SMALL, *fitting]) == 2
    assert "--leave-out none" in capsys.readouterr().err


def test_thin_hydras_and_wide_specialists(tmp_path: Path) -> None:
    words = [*SMALL, "--hydra-only", "--wide-specialists", "--detector", "volume"]
    found = figures(words, tmp_path)["with metadata"]
    (world,) = found["worlds"]
    assert world["attackers"] == world["attackers_with_too_few_records"] > 0
    assert world["left_out"] == ["hydra", "hydra_covered"]


def test_unseen_kinds_are_there_if_asked_for(tmp_path: Path) -> None:
    words = [*SMALL, "--accounts", "200", "--detector", "volume"]
    asked = figures([*words, "--unseen-kinds"], tmp_path)["with metadata"]["counts"]["benign"]
    assert set(UNSEEN) & set(asked)
    assert not set(UNSEEN) & set(figures(words, tmp_path)["with metadata"]["counts"]["benign"])


def test_labrai(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.evaluate.labrai.POOL_ROWS", 600)
    words = [
        "--protocol",
        "labrai",
        "--detector",
        "windows",
        "--seeds",
        "1",
        "--pairs",
        "1",
        "--windows",
        "5",
    ]
    found = figures([*words, "--sizes", "60", "--simulated-prompts"], tmp_path)
    assert list(found["table"]) == ["60"]
    assert found["table"]["60"]["windows"]["pure"]["value"] == 1.0
    assert "windows of 60 records" in capsys.readouterr().out
    assert run(["evaluate", *words[:-1], "4"]) == 2
    capsys.readouterr()
    assert run(["evaluate", "--protocol", "labrai", "--detector", "nothing", "--simulated-prompts"]) == 2
    assert "no baseline 'nothing'" in capsys.readouterr().err
