"""How the judgement grew with the records seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.investigate.drawing import BLACK, BLUE, GREY, HALO, RED, frame, powers
from pipeline.investigate.figures.base import Figure, Sources, nothing
from pipeline.investigate.figures.words import decision_text, p_text

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "Score against records seen"


def looks_figure(sources: Sources) -> Figure:
    """p-values of live looks at 50, 100, 200, … records, what a look may spend, and the scorings."""
    asked, scores = sources.answers["case_prompts"], sources.answers["case_scores"]
    scored = [
        {
            "records": row["records"],
            "p_value": row["p_value"],
            "score": row["score"],
            "as_of": row["as_of"].isoformat(),
            "decision": row["decision"],
        }
        for row in scores.rows
        if row["subject_kind"] == sources.subject.kind and row["p_value"] is not None
    ]
    looked = [
        {"records": each.records, "p_value": each.p_value, "score": each.score, "level": each.level}
        for each in sources.looks
        if not math.isnan(each.p_value)
    ]
    if not scored and not looked:
        return nothing(
            "looks",
            TITLE,
            "It has fewer records than a judgement needs (50), so there is none to show.",
            asked,
            scores,
        )
    caught = next((each for each in looked if each["p_value"] <= each["level"]), None)
    who = "Had one account sent what the cluster sent, a" if sources.subject.is_cluster else "A"
    if not looked:
        caption = "It never reached a live look, the first of which is at 50 records."
    elif caught:
        caption = f"{who} worker that looks at 50, 100, 200, … records would have raised an alert at {caught['records']:,} records (p = {p_text(caught['p_value'])})."
    else:
        caption = (
            f"{who} worker that looks at 50, 100, 200, … records would not have raised an alert by its profile alone "
            f"(smallest p = {p_text(min(e['p_value'] for e in looked))})."
        )
    read, sent = len(sources.vectors), sum(row["records"] or 0 for row in sources.rows("case_accounts"))
    if looked and sent > read:
        caption += f" Counted from the first of its newest {read:,} records; it sent {sent:,}, so what a worker saw then was another stretch."
    if scored:
        newest = scored[-1]
        caption += (
            f" The scoring of {newest['as_of'][:10]} judged {newest['records']:,} records with everything it reads: "
            f"p = {p_text(newest['p_value'])}, decision: {decision_text(newest['decision'])}."
        )
    return Figure(
        "looks",
        TITLE,
        caption,
        "Lower is more unusual. A live look reads the profile alone and is held against the shipped population; a scoring also reads "
        "sequences and neighbours and has its own null, so the two are not on one curve. An alert needs p at or below the dashed line at a look."
        + (
            " For a cluster the curve treats its records as those of one account, which no calibration covers; its scoring is calibrated for groups."
            if sources.subject.is_cluster
            else ""
        ),
        {"looks": looked, "scorings": scored},
        ("records", "what", "score", "p-value", "alert at or below", "as of"),
        [
            [each["records"], "live look", round(each["score"], 6), each["p_value"], each["level"], ""]
            for each in looked
        ]
        + [
            [
                each["records"],
                "scoring",
                each["score"],
                each["p_value"],
                "by false discovery rate",
                each["as_of"],
            ]
            for each in scored
        ],
        (asked, scores),
        paint,
        2.6,
    )


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes = figure.subplots()
    looked, scored = data["looks"], data["scorings"]
    if looked:
        n = [each["records"] for each in looked]
        axes.plot(n, [each["p_value"] for each in looked], color=BLUE, marker="o", markerfacecolor="white")
        axes.annotate(
            "live looks (profile alone)",
            (n[0], looked[0]["p_value"]),
            xytext=(6, 7 if looked[0]["p_value"] > looked[0]["level"] else -13),
            textcoords="offset points",
            fontsize=7.5,
            color=BLUE,
            bbox=HALO,
        )
        axes.plot(n, [each["level"] for each in looked], color=GREY, linestyle="--", marker="_", linewidth=1)
        axes.annotate(
            "alert at or below",
            (n[0], looked[0]["level"]),
            xytext=(6, 4),
            textcoords="offset points",
            fontsize=7.5,
            color=GREY,
            bbox=HALO,
        )
    for place, each in enumerate(scored):
        axes.plot(
            each["records"],
            each["p_value"],
            color=RED,
            marker="D",
            markersize=7,
            markeredgecolor=BLACK,
            linestyle="",
        )
        if place == len(scored) - 1:
            axes.annotate(
                f"scoring: {p_text(each['p_value'])}",
                (each["records"], each["p_value"]),
                xytext=(-8, 8),
                textcoords="offset points",
                ha="right",
                fontsize=7.5,
                bbox=HALO,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = sorted({each["records"] for each in (*looked, *scored)})
    apart = [t for i, t in enumerate(ticks) if i == 0 or t / ticks[i - 1] > 1.15]
    axes.xaxis.set_major_locator(FixedLocator(apart))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(apart, [f"{t:,}" for t in apart])
    axes.margins(x=0.12, y=0.2)
    low, high = axes.get_ylim()
    axes.set_ylim(low, max(2.0, high))
    powers(axes.yaxis)
    frame(axes, x="records seen", y="p-value (logarithmic)", title="p-value as records came in", grid="y")
