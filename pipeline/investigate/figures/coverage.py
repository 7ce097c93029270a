"""How much of the topics a case covers, beside accounts of its benign class."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.counted import counted
from pipeline.investigate.coverage import SIZES, curve, expected_topics
from pipeline.investigate.drawing import BLUE, GREY, HALO, PALE, RED, frame, powers
from pipeline.investigate.figures.base import Figure, Sources, nothing, share

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "Topic coverage against its class"
FEWEST = 5
"""Accounts of a class below which no band is drawn."""


def coverage_figure(sources: Sources) -> Figure:
    """Topics met by so many records: the subject's curve and the class's band; and how evenly topics are used."""
    asked = sources.answers["case_topics"]
    counts: defaultdict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for row in asked.rows:
        counts[row["role"], row["account_id"]][row["topic"]] = row["records"]
    mine: defaultdict[int, int] = defaultdict(int)
    for (role, _), cells in counts.items():
        if role == "subject":
            for topic, records in cells.items():
                mine[topic] += records
    total = sum(mine.values())
    if total < 2:
        return nothing(
            "coverage", TITLE, "It has too few records in landed windows to show a coverage.", asked
        )
    others = [list(cells.values()) for (role, _), cells in sorted(counts.items()) if role == "class"]
    own = curve(list(mine.values()))
    band = [each for size in SIZES if (each := _quartiles(others, size)) is not None and size <= 2 * total]
    name = next((row["benign_class"] for row in asked.rows if row["benign_class"]), None)
    whom = f"accounts of the class «{name}»" if name else "unremarkable accounts of any class"
    at = max((size for size, *_ in band if size <= total), default=None)
    caption = f"Its {counted(total, 'record')} meet {counted(len(mine), 'topic')} of 256."
    place = None
    if at is not None:
        here = expected_topics(list(mine.values()), at)
        values = [v for each in others if not np.isnan(v := expected_topics(each, at))]
        fewer = sum(v < here for v in values)
        place = share(fewer, len(values))
        median = next(row[2] for row in band if row[0] == at)
        caption += (
            f" {at:,} of them would meet {here:.0f} on average; {at:,} records of {whom} meet {median:.0f} (median of {len(values)} accounts "
            f"with that many), and {fewer} of these {len(values)} meet fewer than it does."
        )
    else:
        caption += f" Too few {whom} have that many records for a comparison."
    shares = sorted((share(v, total) for v in mine.values()), reverse=True)
    class_shares = _mean_shares(others)
    data = {
        "own": own,
        "band": band,
        "compared_with": whom,
        "accounts": len(others),
        "shares": shares[:60],
        "class_shares": class_shares[:60],
        "below_in_class": place,
    }
    return Figure(
        "coverage",
        TITLE,
        caption,
        "A list that is worked off meets many topics with few records and uses them evenly. Reference works, evaluation harnesses and "
        "resellers do too. Curves are rarefied: how many topics so many records, drawn at random, meet on average.",
        data,
        (
            "records",
            "topics: this case",
            "class: lower quartile",
            "class: median",
            "class: upper quartile",
            "accounts",
        ),
        [
            [
                size,
                dict(own).get(size, expected_topics(list(mine.values()), size)),
                *next((row[1:5] for row in band if row[0] == size), (None, None, None, None)),
            ]
            for size in sorted({size for size, *_ in own} | {size for size, *_ in band})
        ],
        (asked,),
        paint,
        2.7,
    )


def _quartiles(accounts: list[list[int]], size: int) -> tuple[int, float, float, float, int] | None:
    values = [v for each in accounts if not np.isnan(v := expected_topics(each, size))]
    if len(values) < FEWEST:
        return None
    low, middle, high = (round(float(v), 6) for v in np.quantile(values, (0.25, 0.5, 0.75)))
    return size, low, middle, high, len(values)


def _mean_shares(accounts: list[list[int]]) -> list[float]:
    """Mean share of an account's first, second, … topic."""
    if not accounts:
        return []
    longest = max(map(len, accounts))
    table = np.zeros((len(accounts), longest))
    for row, each in enumerate(accounts):
        table[row, : len(each)] = sorted((v / sum(each) for v in each), reverse=True)
    return [round(float(v), 6) for v in table.mean(0)]


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
    if data["band"]:
        size, low, middle, high, _ = zip(*data["band"], strict=True)
        left.fill_between(size, low, high, facecolor=PALE, edgecolor=GREY, linewidth=0.6)
        left.plot(size, middle, color=GREY, linestyle="--")
        left.annotate(
            "class: median and quartiles",
            (size[-1], middle[-1]),
            xytext=(0, -12),
            textcoords="offset points",
            fontsize=7.5,
            ha="right",
            va="top",
            color=GREY,
            bbox=HALO,
        )
    n, topics = zip(*data["own"], strict=True)
    left.plot(n, topics, color=RED, marker="s", markersize=4)
    left.annotate(
        "this case",
        (n[-1], topics[-1]),
        xytext=(-4, 6),
        textcoords="offset points",
        fontsize=8,
        ha="right",
        color=RED,
        weight="bold",
        bbox=HALO,
    )
    left.margins(y=0.12)
    frame(left, x="records", y="topics met", title="Topics met by so many records", grid="both")
    places = range(1, len(data["shares"]) + 1)
    right.plot(places, data["shares"], color=RED, marker="s", markersize=3)
    if data["class_shares"]:
        right.plot(range(1, len(data["class_shares"]) + 1), data["class_shares"], color=BLUE, linestyle="--")
        right.annotate(
            "class, mean",
            (1, data["class_shares"][0]),
            xytext=(8, 0),
            textcoords="offset points",
            fontsize=7.5,
            va="center",
            color=BLUE,
            bbox=HALO,
        )
    last = max(0, len(data["shares"]) // 3)
    right.annotate(
        "this case",
        (last + 1, data["shares"][last]),
        xytext=(6, 6),
        textcoords="offset points",
        fontsize=8,
        color=RED,
        weight="bold",
        bbox=HALO,
    )
    right.set_yscale("log")
    powers(right.yaxis)
    frame(
        right,
        x="topic, the most used first",
        y="share of records",
        title="How evenly they are used",
        grid="y",
    )
