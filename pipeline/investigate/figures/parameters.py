"""With which models and settings records were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.counted import counted
from pipeline.investigate.drawing import BLUE, frame, shown
from pipeline.investigate.figures.base import Figure, Sources, nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "Models and parameters"
BARS = 10
SETTINGS = (
    ("temperature", "temperature"),
    ("top_p", "top-p"),
    ("max_tokens", "max"),
    ("choice_count", "choices"),
)


def parameters_figure(sources: Sources) -> Figure:
    """The most used combinations."""
    asked = sources.answers["case_parameters"]
    rows = asked.rows
    if not rows:
        return nothing("parameters", TITLE, "No record of it is landed.", asked)
    models = {row["model"] for row in rows}
    top = rows[0]
    # The playbook's answer ends at its limit: then there may be more.
    capped = len(rows) >= int(asked.parameters.get("limit_rows") or len(rows) + 1)
    cluster = sources.subject.is_cluster
    caption = (
        f"{'At least ' if capped else ''}{counted(len(rows), 'combination')} of {counted(len(models), 'model')} and settings; the most used one, "
        f"{_words(top)}, makes up {top['share']:.0%} of the records"
        + (f" and was used by {counted(top['accounts'], 'account')}." if cluster else ".")
    )
    if len(rows) > BARS:
        caption += f" Drawn are the first {BARS}."
    bars = [
        {"label": _words(row), "share": row["share"], "records": row["records"], "accounts": row["accounts"]}
        for row in rows[:BARS]
    ]
    return Figure(
        "parameters",
        TITLE,
        caption,
        "One constant setting is what a script has, and what most applications have. Accounts that change settings together, or all use "
        "an unusual one, are worth a look.",
        {"bars": bars, "is_cluster": cluster},
        ("model", "temperature", "top-p", "max tokens", "choices", "reasoning", "log-probs", "streamed", "records", "accounts", "first", "last"),
        [
            [
                row["model"], row["temperature"], row["top_p"], row["max_tokens"], row["choice_count"], row["reasoning_requested"],
                row["logprobs"], row["stream"], row["records"], row["accounts"], row["first_seen"], row["last_seen"],
            ]
            for row in rows
        ],
        (asked,),
        paint,
        0.8 + 0.22 * max(3, len(bars)),
    )  # fmt: skip


def _words(row: dict[str, Any]) -> str:
    parts = [shown(row["model"] or "no model named", 24)]
    parts += [
        f"{words} {row[name]:g}"
        for name, words in SETTINGS
        if row[name] is not None and (name != "choice_count" or row[name] != 1)
    ]
    parts += [
        words for name, words in (("reasoning_requested", "reasoning"), ("stream", "streamed")) if row[name]
    ]
    return ", ".join(parts)


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    axes = figure.subplots()
    bars = data["bars"]
    axes.barh(
        range(len(bars)),
        [each["share"] for each in bars],
        height=0.7,
        facecolor="white",
        edgecolor=BLUE,
        hatch="////",
        linewidth=0.9,
    )
    for place, each in enumerate(bars):
        words = f"{each['share']:.0%} · {each['records']:,}"
        if data["is_cluster"]:
            words += f" · {counted(each['accounts'], 'account')}"
        axes.annotate(
            words, (each["share"], place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7
        )
    axes.set_yticks(range(len(bars)), [each["label"] for each in bars], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, max(each["share"] for each in bars) * 1.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    frame(axes, x="share of records", title="The most used combinations", grid="x")
