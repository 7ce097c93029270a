"""What in an account looks like a list that is worked off, and the records to read first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.investigate.drawing import BLUE, GREY, HALO, RED, frame
from pipeline.investigate.figures.base import Figure, Sources, nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "What in it looks like a list"
WORDS = {
    "fresh": "share of prompts not sent before",
    "one_topic": "chance that two records have one topic",
    "crowded": "share with another prompt near",
    "near_in_time": "cosine to the nearest within an hour",
    "alike": "mean cosine of two prompts",
    "apart": "apart from the rest in content",
    "again": "log of times a prompt is sent",
}


def part_figure(sources: Sources) -> Figure:
    """Measures inside and outside the part that looks most like a list."""
    asked, records = sources.answers["case_prompts"], sources.answers["case_records"]
    if sources.part is None:
        return nothing(
            "part", TITLE, "It has too few records to compare one part of it with the rest.", asked, records
        )
    part = sources.part["part"]
    outside = part["outside"] or {}
    measures = [
        {
            "name": name,
            "words": WORDS.get(name, name.replace("_", " ")),
            "inside": value,
            "outside": outside.get(name),
        }
        for name, value in sorted(part["inside"].items(), key=lambda each: [*WORDS, each[0]].index(each[0]))
    ]
    caption = sources.part["sentence"]
    caption += (
        " No part stands out from the rest: the whole is shown."
        if part["whole_account"]
        else f" The part was found by {shown_by(part['found_by'])}, among {part['parts_compared']} parts compared; "
        f"its log-odds of being a list are {part['log_odds']:.2f}, of the whole {part['account_log_odds']:.2f}."
    )
    return Figure(
        "part",
        TITLE,
        caption,
        "A harvest hidden in other traffic is a part of an account; the part is told by what its records have in common, never by "
        "their text. A batch job is a list too.",
        {"measures": measures, "whole_account": part["whole_account"], "part": part},
        ("measure", "inside the part", "outside"),
        [[each["words"], each["inside"], each["outside"]] for each in measures],
        (asked, records),
        paint,
        0.9 + 0.24 * len(measures),
    )


def shown_by(found_by: str) -> str:
    """How the part was found, in words."""
    return found_by.replace("_", " ")


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    axes = figure.subplots()
    measures = data["measures"]
    for place, each in enumerate(measures):
        if each["outside"] is not None:
            axes.plot([each["inside"], each["outside"]], [place, place], color=GREY, linewidth=1, zorder=1)
            axes.scatter(
                each["outside"], place, marker="o", s=36, facecolor="white", edgecolor=BLUE, zorder=2
            )
        axes.scatter(each["inside"], place, marker="s", s=36, color=RED, zorder=3)
        axes.annotate(
            f"{each['inside']:.2f}",
            (each["inside"], place),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            bbox=HALO,
        )
    axes.set_yticks(range(len(measures)), [each["words"] for each in measures])
    axes.set_ylim(len(measures) - 0.4, -0.8)
    axes.set_xlim(-0.05, max(1.05, *(each["inside"] + 0.1 for each in measures)))
    marks = "■ the part" + ("" if data["whole_account"] else "   ○ the rest")
    if data["whole_account"]:
        marks = "■ the whole"
    frame(axes, x="value", title=f"Measures of a list    {marks}", grid="both")
