"""Where the prompts of a case lie, beside ordinary and harvested reference content and the lake's own accounts."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.counted import counted
from pipeline.investigate.drawing import BLACK, BLUE, HALO, RED, frame
from pipeline.investigate.figures.base import Figure, Sources, nothing
from pipeline.investigate.figures.words import nth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.investigate.projection import Plane

TITLE = "Where its prompts lie"
DRAWN = 1500
"""Points that are drawn; more would hide each other and make the file large."""


def prompts_figure(sources: Sources) -> Figure:
    """A scatter on the fixed plane."""
    asked, benign = sources.answers["case_prompts"], sources.answers["case_benign_prompts"]
    if not len(sources.vectors):
        return nothing("prompts", TITLE, "No record of it is landed.", asked, benign)
    plane = sources.plane
    places = plane(sources.vectors)
    every = max(1, -(-len(places) // DRAWN))
    rows = asked.rows
    points = [
        {
            "x": float(x),
            "y": float(y),
            "request_id": rows[at]["request_id"],
            "account_id": rows[at]["account_id"],
        }
        for at, (x, y) in enumerate(places)
        if at % every == 0
    ]
    centres = [
        {"corpus": c.corpus, "harvested": c.harvested, "weight": c.weight, "x": c.x, "y": c.y}
        for c in plane.centres
    ]
    near = _nearest(places, plane)
    background = plane(sources.background) if len(sources.background) else np.empty((0, 2))
    sent = sum(row["records"] or 0 for row in sources.rows("case_accounts"))
    caption = (
        (
            f"The newest {len(places):,} of the {counted(sent, 'prompt')}"
            if sent > len(places)
            else counted(len(places), "prompt")
        )
        + f" of this case on a plane that does not depend on {'this case' if not plane.centres else 'the lake'} ({plane.made_from})"
    )
    caption += f"; every {nth(every)} is drawn." if every > 1 else "."
    if near is not None:
        caption += f" {near:.0%} of them lie nearer to a topic of harvested reference content than to one of ordinary content, in this plane"
        usual = _nearest(background, plane) if len(background) else None
        caption += (
            "." if usual is None
            else f"; of {counted(len(background), 'prompt')} of unremarkable accounts of this lake {usual:.0%} do."
        )  # fmt: skip
    shows = plane.variance(sources.vectors)
    spoken = f"The plane shows {plane.shown:.0%} of the variance of what it was made from"
    spoken += f" and {shows:.0%} of this case's own" if not np.isnan(shows) else ""
    return Figure(
        "prompts",
        TITLE,
        caption,
        f"{spoken}: two of {len(plane.mean)} directions, so what lies together here need not be alike. Content is not guilt: tutoring, coding "
        "tools and evaluations work honestly on what is harvested. The lake holds no text: only embeddings and hashes.",
        {
            "points": points,
            "centres": centres,
            "background": [[float(x), float(y)] for x, y in background],
            "plane": {
                "made_from": plane.made_from,
                "variance_shown": plane.shown,
                "variance_of_case": None if np.isnan(shows) else shows,
            },
            "nearer_to_harvested": near,
        },
        ("reference corpus", "kind", "topics", "centre x", "centre y", "prompts of the case nearest to it"),
        _table(places, plane),
        (asked, benign),
        paint,
        4.3,
    )


def _nearest_centre(places: Any, plane: Plane) -> Any:
    centres = np.array([(c.x, c.y) for c in plane.centres])
    return ((places[:, None, :] - centres[None]) ** 2).sum(2).argmin(1)


def _nearest(places: Any, plane: Plane) -> float | None:
    if not plane.centres:
        return None
    harvested = np.array([c.harvested for c in plane.centres])
    return round(float(harvested[_nearest_centre(places, plane)].mean()), 6)


def _table(places: Any, plane: Plane) -> list[list[Any]]:
    if not plane.centres:
        return []
    nearest = _nearest_centre(places, plane)
    found: defaultdict[str, list[int]] = defaultdict(list)
    for at, each in enumerate(plane.centres):
        found[each.corpus].append(at)
    rows: list[list[Any]] = []
    for corpus, members in sorted(found.items()):
        weight = np.array([plane.centres[at].weight for at in members])
        x, y = (
            round(
                float((weight * [getattr(plane.centres[at], axis) for at in members]).sum() / weight.sum()), 3
            )
            for axis in "xy"
        )
        kind = "harvested" if plane.centres[members[0]].harvested else "ordinary"
        rows.append([corpus, kind, len(members), x, y, int(np.isin(nearest, members).sum())])
    return rows


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    axes = figure.subplots()
    if data["background"]:
        across, up = zip(*data["background"], strict=True)
        axes.scatter(
            across,
            up,
            s=7,
            marker=".",
            color="#a6a6a6",
            linewidths=0,
            label="unremarkable accounts of this lake",
        )
    for harvested, colour, marker, words in (
        (False, BLUE, "o", "topics of ordinary reference content"),
        (True, RED, "^", "topics of harvested reference content"),
    ):
        mine = [each for each in data["centres"] if each["harvested"] is harvested]
        if mine:
            axes.scatter(
                [each["x"] for each in mine],
                [each["y"] for each in mine],
                s=[6 + 500 * each["weight"] for each in mine],
                marker=marker,
                facecolor="none",
                edgecolor=colour,
                linewidths=0.7,
                alpha=0.75,
                label=words,
            )
    axes.scatter(
        [each["x"] for each in data["points"]],
        [each["y"] for each in data["points"]],
        s=16,
        marker="x",
        color=BLACK,
        linewidths=1.0,
        label="prompts of this case",
    )
    for corpus, x, y, harvested in _labels(data["centres"]):
        axes.annotate(
            corpus.replace("_", " "),
            (x, y),
            fontsize=7,
            ha="center",
            va="center",
            color=RED if harvested else BLUE,
            style="italic" if harvested else "normal",
            weight="bold",
            bbox=HALO,
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    frame(axes, x="first direction", y="second direction", title="Projection of the prompts' embeddings")
    legend = figure.legend(loc="outside lower center", ncols=2, handletextpad=0.3)
    for mark in legend.legend_handles:
        # As large as they can be told apart, however large they are in the picture.
        mark.set_sizes([40.0])


def _labels(centres: list[dict[str, Any]]) -> list[tuple[str, float, float, bool]]:
    """A place for each corpus's name: its mean, moved apart where two would lie on each other."""
    placed: list[tuple[str, float, float, bool]] = []
    for corpus in sorted({each["corpus"] for each in centres}):
        mine = [each for each in centres if each["corpus"] == corpus]
        weight = sum(each["weight"] for each in mine)
        x = sum(each["weight"] * each["x"] for each in mine) / weight
        y = sum(each["weight"] * each["y"] for each in mine) / weight
        while any(abs(x - px) < 0.2 and abs(y - py) < 0.035 for _, px, py, _ in placed):
            y += 0.036
        placed.append((corpus, x, y, mine[0]["harvested"]))
    return placed
