"""From where, by which payment and with which programs a case was operated, and who else uses the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.counted import counted
from pipeline.investigate.drawing import BLUE, PALE, RED, frame, shown
from pipeline.investigate.figures.base import Figure, Sources, nothing
from pipeline.investigate.figures.words import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "Networks, payment and programs"
BARS = 16


def networks_figure(sources: Sources) -> Figure:
    """How many accounts of the case and how many elsewhere use each."""
    asked = sources.answers["case_networks"]
    rows = asked.rows
    if not rows:
        return nothing(
            "networks", TITLE, "Its records name no network, payment, organisation or user agent.", asked
        )
    # The playbook's answer ends at its limit: then there may be more.
    least = "at least " if len(rows) >= int(asked.parameters.get("limit_rows") or len(rows) + 1) else ""
    size, cluster = len(sources.subject.accounts), sources.subject.is_cluster
    if cluster:
        shared = [row for row in rows if row["accounts"] > 1]
        own = [row for row in shared if not row["accounts_elsewhere"]]
        caption = (
            f"Of {counted(size, 'account')}, several share {least if len(shared) == len(rows) else ''}{counted(len(shared), 'value')}; {len(own)} of these "
            f"{'is' if len(own) == 1 else 'are'} used by nobody else in the lake"
            + (
                f": {listed([_label(row) + ' (' + str(row['accounts']) + ')' for row in own[:3]])}."
                if own
                else "."
            )
        )
    else:
        alone = [row for row in rows if not row["accounts_elsewhere"]]
        kinds = sorted({row["kind"] for row in rows})
        caption = (
            f"{least}{counted(len(rows), 'value')} of {listed(kinds)}; "
            f"{len(alone)} used by no other account of the lake"
            + (f": {listed([_label(row) for row in alone[:3]])}." if alone else ".")
        )
    caption = caption[0].upper() + caption[1:]
    if len(rows) > BARS:
        caption += f" Drawn are the first {BARS}."
    bars = [
        {
            "label": _label(row),
            "records": row["records"],
            "accounts": row["accounts"],
            "elsewhere": row["accounts_elsewhere"],
        }
        for row in rows[:BARS]
    ]
    return Figure(
        "networks",
        TITLE,
        caption,
        "What many accounts of a cluster share and few others have ties them together; offices, carriers, cloud regions and popular "
        "libraries are shared by honest accounts. Identifiers may be pseudonyms: see Provenance.",
        {"bars": bars, "accounts": size},
        ("kind", "value", "accounts of the case", "accounts elsewhere", "records of the case", "first", "last"),
        [
            [row["kind"], row["value"], row["accounts"], row["accounts_elsewhere"], row["records"], row["first_seen"], row["last_seen"]]
            for row in rows
        ],
        (asked,),
        paint,
        0.9 + 0.25 * max(3, len(bars)),
    )  # fmt: skip


def _label(row: dict[str, Any]) -> str:
    return f"{row['kind']} {shown(row['value'], 26)}"


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    axes = figure.subplots()
    bars = data["bars"]
    for place, each in enumerate(bars):
        axes.barh(
            place - 0.18,
            each["accounts"],
            height=0.34,
            facecolor="white",
            edgecolor=RED,
            hatch="//////",
            linewidth=0.9,
        )
        axes.barh(
            place + 0.18,
            each["elsewhere"],
            height=0.34,
            facecolor=PALE,
            edgecolor=BLUE,
            linewidth=0.9,
        )
        for at, value in ((place - 0.18, each["accounts"]), (place + 0.18, each["elsewhere"])):
            axes.annotate(
                f"{value:,}",
                (value, at),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
            )
    axes.set_yticks(range(len(bars)), [each["label"] for each in bars], fontsize=7)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(0, None)
    axes.margins(x=0.1)
    ticks = [t for t in (0, 1, 2, 5, 10, 100, 1000, 10000, 100000) if t <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{t:,}" for t in ticks])
    axes.xaxis.set_minor_locator(_none())
    from matplotlib.patches import Patch

    figure.legend(
        handles=[
            Patch(facecolor="white", edgecolor=RED, hatch="//////", label="accounts of this case"),
            Patch(facecolor=PALE, edgecolor=BLUE, label="accounts elsewhere in the lake"),
        ],
        loc="outside upper right",
        ncols=2,
    )
    frame(axes, x="accounts (logarithmic beyond 10)", title="Who uses what", grid="x")


def _none() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()
