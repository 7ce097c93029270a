"""How often prompts, templates and system prompts come again."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pipeline.counted import counted
from pipeline.investigate.drawing import BLUE, GREEN, RED, frame
from pipeline.investigate.figures.base import Figure, Sources, nothing, share

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "Repeats"
STEPS = ((1, 1, "once"), (2, 2, "twice"), (3, 5, "3 to 5"), (6, 20, "6 to 20"), (21, None, "more"))
KINDS = ("prompt", "template", "system prompt")


def repeats_figure(sources: Sources) -> Figure:
    """Share of records whose prompt, template or system prompt was sent so many times."""
    asked = sources.answers["case_repeats"]
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in asked.rows:
        found[row["kind"]].append(row)
    if not found:
        return nothing(
            "repeats", TITLE, "Its records carry no hash of a prompt, a template or a system prompt.", asked
        )
    panels: list[dict[str, Any]] = []
    words = []
    for kind in KINDS:
        rows = found.get(kind)
        if not rows:
            panels.append({"kind": kind, "shares": None})
            continue
        records = sum(row["records"] for row in rows)
        shares = [
            share(
                sum(r["records"] for r in rows if low <= r["times"] and (high is None or r["times"] <= high)),
                records,
            )
            for low, high, _ in STEPS
        ]
        different = sum(row["different"] for row in rows)
        shared = sum(row["in_several_accounts"] for row in rows)
        panels.append({"kind": kind, "shares": shares, "different": different, "records": records})
        words.append(
            f"{counted(records, 'record')} {'has' if records == 1 else 'have'} {counted(different, f'different {kind}')}"
            + (
                f", {counted(shared, 'of them', 'of them')} in several accounts"
                if sources.subject.is_cluster and shared
                else ", none of them in two accounts"
                if sources.subject.is_cluster
                else ""
            )
        )
    caption = "; ".join(words) + "."
    return Figure(
        "repeats",
        TITLE,
        caption[0].upper() + caption[1:],
        "Prompts that are never sent twice by accounts that ask about the same things are what a list shared out looks like; batch jobs "
        "send each prompt once as well. Hashes are compared: another wording is another prompt.",
        {"panels": panels, "steps": [words for _, _, words in STEPS]},
        ("what", "sent so many times", "different ones", "records", "in several accounts"),
        [
            [row["kind"], row["times"], row["different"], row["records"], row["in_several_accounts"]]
            for row in asked.rows
        ],
        (asked,),
        paint,
        1.9,
    )


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    axes = figure.subplots(1, len(KINDS), sharey=True)
    for axis, panel, colour, hatch in zip(
        axes, data["panels"], (RED, BLUE, GREEN), ("////", "\\\\\\\\", "xxx"), strict=True
    ):
        if panel["shares"] is None:
            axis.annotate("no hash given", (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize=8)
            axis.set_xticks([])
        else:
            places = range(len(data["steps"]))
            axis.bar(places, panel["shares"], facecolor="white", edgecolor=colour, hatch=hatch, linewidth=0.9)
            for place, value in enumerate(panel["shares"]):
                if value:
                    axis.annotate(
                        f"{value:.0%}" if value >= 0.01 else "<1%",
                        (place, value),
                        xytext=(0, 2),
                        textcoords="offset points",
                        ha="center",
                        fontsize=7,
                    )
            axis.set_xticks(places, data["steps"], fontsize=7)
        frame(axis, x="sent", title=panel["kind"].capitalize(), grid="y")
    axes[0].set_ylim(0, 1.12)
    axes[0].set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes[0].set_ylabel("share of records")
