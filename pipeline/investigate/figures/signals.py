"""What drove the score: signals for and against, by their contribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.counted import counted
from pipeline.investigate.drawing import BLACK, BLUE, PALE, RED, frame, shown
from pipeline.investigate.figures.base import Figure, Sources, nothing
from pipeline.signals.every import EVERY

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "What drove the score"
FOR, AGAINST = 10, 6


def signals_figure(sources: Sources) -> Figure:
    """The largest contributions in favour and against, from the alert's evidence."""
    asked = sources.answers["case_alerts"]
    if sources.alert is None or not sources.alert["evidence"].get("signals"):
        return nothing(
            "signals",
            TITLE,
            "No alert names it, so there is no decomposition of a score to show. `distillwatch sql … why_flagged` ranks an "
            "account's signals in its lake.",
            asked,
        )
    told = [
        each
        for each in sources.alert["evidence"]["signals"]
        if each.get("value") is not None and each["contribution"]
    ]
    told.sort(key=lambda each: (-each["contribution"], each["signal"]))
    chosen = [each for each in told[:FOR] if each["contribution"] > 0]
    against = [each for each in told[::-1][:AGAINST] if each["contribution"] < 0][::-1]
    bars = [
        {
            "label": label(each["signal"]),
            "signal": each["signal"],
            "contribution": each["contribution"],
            "rank": each.get("rank"),
            "value": each["value"],
        }
        for each in chosen + against
    ]
    positive = sum(each["contribution"] for each in told if each["contribution"] > 0)
    negative = sum(each["contribution"] for each in told if each["contribution"] < 0)
    shown_for = sum(each["contribution"] for each in chosen)
    caption = (
        f"{counted(sum(e['contribution'] > 0 for e in told), 'signal')} raise the score, by {positive:.2f} together; "
        f"{counted(sum(e['contribution'] < 0 for e in told), 'signal')} lower it, by {-negative:.2f}. The {len(chosen)} largest in favour "
        f"make up {shown_for / positive if positive else 0:.0%} of what raises it."
    )
    return Figure(
        "signals",
        TITLE,
        caption,
        "Contributions and a constant add up to the score (natural logarithm of odds). Behind each bar: how the value ranks among "
        "the accounts it was judged with, 0 lowest, 1 highest.",
        {"bars": bars},
        ("signal", "what it says", "value", "rank", "contribution"),
        [
            [
                each["signal"],
                sentence(each["signal"], each["value"]),
                each["value"],
                each.get("rank"),
                each["contribution"],
            ]
            for each in told
        ],
        (asked,),
        paint,
        0.9 + 0.2 * max(4, len(bars)),
    )


def label(signal: str) -> str:
    """A signal's name in words.

    Examples
    --------
    >>> label("sum_topic_entropy"), label("topic_entropy")
    ('together: topic entropy', 'topic entropy')
    """
    if signal.startswith("sum_"):
        return "together: " + signal.removeprefix("sum_").replace("_", " ")
    return signal.replace("_", " ")


def sentence(signal: str, value: float) -> str:
    """A signal's value in words, where it is one of an account's; of a cluster's sum likewise."""
    known = EVERY.get(signal) or EVERY.get(signal.removeprefix("sum_"))
    return known.sentence(value) if known else ""


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    axes = figure.subplots()
    bars = data["bars"]
    for place, each in enumerate(bars):
        favour = each["contribution"] > 0
        axes.barh(
            place,
            each["contribution"],
            height=0.72,
            facecolor="white" if favour else PALE,
            edgecolor=RED if favour else BLUE,
            hatch="////" if favour else None,
            linewidth=0.9,
        )
        rank = "" if each["rank"] is None else f" rank {each['rank']:.2f}"
        axes.annotate(
            f"{each['contribution']:+.2f}{rank}",
            (each["contribution"], place),
            xytext=(4 if favour else -4, 0),
            textcoords="offset points",
            ha="left" if favour else "right",
            va="center",
            fontsize=7,
            color=BLACK,
        )
    axes.set_yticks(range(len(bars)), [shown(each["label"], 40) for each in bars])
    axes.invert_yaxis()
    axes.axvline(0, color=BLACK, linewidth=0.8)
    axes.margins(x=0.22)
    frame(
        axes,
        x="contribution to the score    ← speaks against an attack · speaks for one →",
        title="Signals with the largest contributions",
        grid="x",
    )
