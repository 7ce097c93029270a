"""What an alert says, taken apart for reading."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.signals.every import EVERY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one signal adds to a score, for drawing: ``width`` is its part of the largest, 0 to 100."""

    signal: str
    label: str
    contribution: float
    width: float
    rank: float | None
    value: float | None
    units: str
    sentence: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """An alert's evidence."""

    alert_id: str
    subject_kind: str
    subject_id: str
    members: Sequence[str]
    as_of: Any
    is_live: bool
    score: float | None
    p_value: float | None
    detector: str
    sentences: Sequence[str]
    against: Sequence[str]
    explanation: str | None
    unusual: Mapping[str, Any] | None
    look_at: str | None
    limits: str | None
    calibration: str | None
    shared: Sequence[str]
    records: int | None
    contributions: Sequence[Contribution]
    others: Sequence[Contribution]
    provenance: Mapping[str, Any]


def read(row: Mapping[str, Any], most: int = 10) -> Evidence:
    """A row of `case_alerts`. What is missing in it is empty: older alerts say less."""
    said: dict[str, Any] = json.loads(row["evidence"] or "{}")
    benign = said.get("benign_explanation") or {}
    signals = [each for each in said.get("signals") or [] if each.get("contribution") is not None]
    largest = max((abs(each["contribution"]) for each in signals), default=0.0) or 1.0
    made = sorted(
        (_contribution(each, largest) for each in signals), key=lambda each: -abs(each.contribution)
    )
    return Evidence(
        alert_id=row["alert_id"],
        subject_kind=row["subject_kind"],
        subject_id=row["subject_id"],
        members=row["members"] or [],
        as_of=row["as_of"],
        is_live=bool(row["is_live"]),
        score=row["score"],
        p_value=row["p_value"],
        detector=row["detector"],
        sentences=[plain(text) for text in said.get("sentences") or []],
        against=[plain(text) for text in said.get("against") or []],
        explanation=benign.get("sentence"),
        unusual=benign.get("unusual"),
        look_at=(said.get("look_at") or {}).get("sentence"),
        limits=said.get("limits"),
        calibration=said.get("calibration"),
        shared=said.get("shared") or [],
        records=said.get("records"),
        contributions=made[:most],
        others=made[most:],
        provenance=json.loads(row["provenance"] or "{}"),
    )


def plain(text: str) -> str:
    """A sentence without the contribution in brackets at its end: the bars beside it show that."""
    head, bracket, tail = text.rpartition(" (")
    number = tail.rstrip(".").rstrip(")")
    if bracket and number[:1] in "+-\u2212" and number[1:].replace(".", "").isdigit():
        return f"{head}."
    return text


def _contribution(each: Mapping[str, Any], largest: float) -> Contribution:
    name = str(each["signal"])
    value = each.get("value")
    return Contribution(
        name,
        name.removeprefix("sum_").replace("_", " "),
        float(each["contribution"]),
        round(100 * abs(each["contribution"]) / largest, 2),
        each.get("rank"),
        value,
        each.get("units") or "",
        sentence(name, value),
    )


def sentence(signal: str, value: float | None) -> str | None:
    """A signal's value in words; None where there are none."""
    found = EVERY.get(signal.removeprefix("sum_"))
    if found is None or value is None or not math.isfinite(value):
        return None
    return found.sentence(value)
