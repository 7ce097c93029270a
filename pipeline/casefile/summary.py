"""A case in sentences: what was seen, how sure that is, who else looks so, the best benign explanation, what speaks against it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.casefile.benign_groups import benign_groups
from pipeline.casefile.calibration import read_from
from pipeline.counted import counted
from pipeline.investigate.figures.words import decision_text, expected, listed, one_in, p_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.investigate import Case

LIMITS = (
    "This is evidence, not proof. Nobody should be acted against by this file alone: read the records, and ask who pays and what "
    "the account is for."
)
NO_TEXT = (
    "The lake holds no text of any prompt or answer: only embeddings, hashes and metadata. What was asked can be read where the "
    "service keeps its exchanges, by the request ids below."
)


def summary(case: Case) -> dict[str, list[str]]:
    """Paragraphs by heading, each a list of sentences."""
    return {
        "seen": _seen(case),
        "sure": _sure(case),
        "benign": _benign(case),
        "against": _against(case),
        "decided": _decided(case),
        "limits": [LIMITS, NO_TEXT],
    }


def _seen(case: Case) -> list[str]:
    rows, subject = case.rows("case_accounts"), case.subject
    records = sum(row["records"] or 0 for row in rows)
    # A scoring's `last_seen` is where the last window ends, which may be a day on which nothing was sent.
    first = min((row["first_window"] or row["first_seen"] for row in rows if row["first_window"] or row["first_seen"]), default=None)  # fmt: skip
    last = max((row["last_window"] or row["last_seen"] for row in rows if row["last_window"] or row["last_seen"]), default=None)  # fmt: skip
    when = f" between {first:%d %B %Y} and {last:%d %B %Y}" if first and last else ""
    said = [
        f"{subject.it} consists of {counted(len(rows), 'account')}, which sent {counted(records, 'record')}{when} (UTC)."
        if subject.is_cluster
        else f"{subject.it} sent {counted(records, 'record')}{when} (UTC)."
    ]
    evidence = case.alert["evidence"] if case.alert else {}
    if subject.is_cluster and evidence.get("shared"):
        said.append(
            f"Its accounts are tied to each other by {listed([f'shared {each}s' for each in evidence['shared']])}."
        )
    if evidence.get("sentences"):
        said.append("What set it apart, with the contribution of each to the score:")
        said += [str(each) for each in evidence["sentences"]]
    return said


def _sure(case: Case) -> list[str]:
    alert = case.alert
    scores = [row for row in case.rows("case_scores") if row["subject_kind"] == case.subject.kind]
    newest = scores[-1] if scores else None
    if alert is None:
        if newest is None or newest["p_value"] is None:
            return ["No alert names it, and it has too few records to be judged."]
        return [
            f"No alert names it. The newest scoring ({newest['as_of']:%d %B %Y}) {_decided_so(newest)}.",
            *_rarity(case, newest["p_value"], None),
        ]
    said = [
        (
            f"The detector «{alert['detector']}» raised alert {alert['alert_id']} as of {str(alert['as_of'])[:10]}: "
            f"score {alert['score']:.2f}, p = {p_text(alert['p_value'])}."
        ),
        *_rarity(case, alert["p_value"], alert["evidence"].get("population")),
    ]
    if alert["fdr"]:
        said.append(
            f"It stands in a list with a false discovery rate of {alert['fdr']:.0%}: of every {round(1 / alert['fdr'])} subjects in such a list "
            "about one is expected to be benign"
            + (
                f" (its own q-value is {p_text(newest['q_value'])})."
                if newest and newest["q_value"] is not None
                else "."
            )
        )
    if alert["evidence"].get("calibration"):
        said.append(str(alert["evidence"]["calibration"]))
    said += read_from(alert)
    population = alert["evidence"].get("population")
    if case.subject.is_cluster and population:
        said.append(
            f"Ranks («higher than so many % of accounts») are among the {population['accounts']:,} accounts of the population «{population['name']}»."
        )
    return said


def _decided_so(scored: Mapping[str, Any]) -> str:
    p = p_text(scored["p_value"])
    if scored["decision"] == "cannot_tell":
        return (
            f"cannot tell: p = {p} is small, and not small enough for the list of alerts; that clears nobody"
        )
    return f"decided «{decision_text(scored['decision'])}» with p = {p}"


def _rarity(case: Case, p_value: float | None, population: Mapping[str, Any] | None) -> list[str]:
    if not p_value or math.isnan(p_value):
        return []
    if case.subject.is_cluster:
        return [
            f"Of benign groups that the same procedure finds, about {one_in(p_value)} looks so: of 1,000 such groups, {expected(1000 * p_value)}."
        ]
    said = [
        f"About {one_in(p_value)} benign accounts looks so: of 10,000 benign accounts, {expected(10_000 * p_value)}."
    ]
    if population:
        said.append(
            f"It was ranked among {population['accounts']:,} accounts; if all of these were benign, {expected(population['accounts'] * p_value)} "
            "of them would be expected to look so."
        )
    return said


def _benign(case: Case) -> list[str]:
    alert = case.alert
    explained = alert["evidence"].get("benign_explanation") if alert else None
    if explained:
        said = [str(explained["sentence"])]
        if explained.get("typical"):
            said.append("What fits: " + _sentences(explained["typical"]))
        if explained.get("untypical"):
            said.append("What does not fit: " + _sentences(explained["untypical"]))
        return [*said, *benign_groups(case)] if case.subject.is_cluster else said
    if case.subject.is_cluster:
        return benign_groups(case)
    classes = [row["benign_class"] for row in case.rows("case_accounts") if row["benign_class"]]
    return (
        [f"Of the benign classes, «{classes[0]}» fits best."]
        if classes
        else ["No benign class was assigned to it."]
    )


def _sentences(told: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(str(each["sentence"]) for each in told[:3])


def _against(case: Case) -> list[str]:
    if case.alert is None:
        return []
    evidence = case.alert["evidence"]
    said = [str(each) for each in evidence.get("against", [])]
    if not said:
        said = ["No signal speaks clearly against an attack."]
    if evidence.get("limits"):
        said.append(str(evidence["limits"]))
    return said


def _decided(case: Case) -> list[str]:
    rows = case.rows("case_accounts")
    found: dict[str, int] = {}
    for row in rows:
        if row["verdict"]:
            found[row["verdict"]] = found.get(row["verdict"], 0) + 1
    if not found:
        return [
            "No verdict stands on it."
            if not case.subject.is_cluster
            else "No verdict stands on any of its accounts."
        ]
    if not case.subject.is_cluster:
        return [f"The verdict «{next(iter(found))}» stands on it."]
    return [
        "Verdicts that stand: "
        + listed(
            [f"«{verdict}» on {counted(number, 'account')}" for verdict, number in sorted(found.items())]
        )
        + f" of {len(rows)}."
    ]
