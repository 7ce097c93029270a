"""The accounts of a cluster and what ties them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from pipeline.investigate.drawing import BLACK, BLUE, GREY, HALO, RED, frame, shown
from pipeline.investigate.figures.base import Figure, Sources, count, nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = dict[str, Any]

TITLE = "Cluster graph"
NODES = 80
EDGES = 240
SEED = 20260101
KINDS = (
    ("payment", "shared payment", RED, "-", 2.2),
    ("network", "shared network", BLUE, "--", 1.5),
    ("content", "alike in content, parameters or times", GREY, ":", 1.0),
)


def graph_figure(sources: Sources) -> Figure:
    """Accounts as points, edges in the style of their strongest kind of evidence; a table says what each rests on."""
    asked = sources.answers["case_edges"]
    rows = asked.rows
    if not rows:
        why = (
            "Scoring put it into no cluster, so there is no graph."
            if not sources.subject.is_cluster
            else "The manifest holds no edges of this cluster."
        )
        return nothing("graph", TITLE, why, asked)
    chosen = rows[:EDGES]
    names = sorted({row["account_a"] for row in chosen} | {row["account_b"] for row in chosen})
    degree = {name: sum(name in (row["account_a"], row["account_b"]) for row in chosen) for name in names}
    names = sorted(sorted(names, key=lambda name: (-degree[name], name))[:NODES])
    chosen = [row for row in chosen if row["account_a"] in names and row["account_b"] in names]
    judged = {row["account_id"]: row for row in sources.rows("case_accounts")}
    edges = [
        {
            "a": names.index(row["account_a"]),
            "b": names.index(row["account_b"]),
            "kind": kind(row),
            "score": row["score"],
        }
        for row in chosen
    ]
    places = layout(len(names), [(each["a"], each["b"]) for each in edges])
    nodes = [
        {
            "account_id": name,
            "label": shown(name, 22),
            "x": x,
            "y": y,
            "records": (judged.get(name) or {}).get("records"),
            "of_case": name in sources.subject.accounts,
            "alert": (judged.get(name) or {}).get("decision") == "alert",
        }
        for name, (x, y) in zip(names, places, strict=True)
    ]
    payments = sum(bool(row["shared_payments"]) for row in rows)
    networks = sum(bool(row["shared_networks"]) for row in rows)
    apart = [row for row in rows if row["overlap"] is not None and row["expected_overlap"]]
    deficit = sum(row["overlap"] < row["expected_overlap"] / 2 for row in apart)
    caption = (
        f"{count(len(rows), 'edge')} between {count(len({r['account_a'] for r in rows} | {r['account_b'] for r in rows}), 'account')}: "
        f"{payments} rest on a shared payment, {networks} on a shared network. In {deficit} of {count(len(apart), 'pair')} that ask about the same, "
        "fewer than half as many prompts are shared as two such accounts would share by chance."
    )
    if len(chosen) < len(rows):
        caption += f" Drawn are the {len(chosen)} strongest."
    return Figure(
        "graph",
        TITLE,
        caption,
        "Edges are the likeliest ties of each account, not all pairs. Tenants of one application and workers that share a job out look "
        "like this too: who pays, and who decided what to ask, is for the investigator to find out.",
        {"nodes": nodes, "edges": edges},
        ("account", "account ", "log-odds", "payments", "networks", "cosine of contents", "prompts shared", "by chance", "parameters", "agents", "in step"),
        [
            [
                row["account_a"], row["account_b"], row["score"], row["shared_payments"], row["shared_networks"], row["cosine"],
                row["overlap"], row["expected_overlap"], row["same_sampling"], row["same_agents"], row["synchrony"],
            ]
            for row in rows
        ],
        (asked, sources.answers["case_accounts"]),
        paint,
        4.2,
    )  # fmt: skip


def kind(row: Row) -> str:
    """The strongest kind of evidence of an edge."""
    return "payment" if row["shared_payments"] else "network" if row["shared_networks"] else "content"


def layout(nodes: int, edges: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Places of nodes in a unit square, by Kamada and Kawai from a fixed start."""
    import igraph

    # With places to begin from, this layout draws no random numbers.
    start = random.Random(SEED)  # noqa: S311
    seed = [[start.uniform(-1, 1), start.uniform(-1, 1)] for _ in range(nodes)]
    coordinates = igraph.Graph(n=nodes, edges=edges).layout_kamada_kawai(seed=seed).coords
    low = [min(each[axis] for each in coordinates) for axis in (0, 1)]
    size = [(max(each[axis] for each in coordinates) - low[axis]) or 1.0 for axis in (0, 1)]
    return [(round((x - low[0]) / size[0], 3), round((y - low[1]) / size[1], 3)) for x, y in coordinates]


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    from matplotlib.lines import Line2D

    axes = figure.subplots()
    nodes = data["nodes"]
    for name, _, colour, line, width in reversed(KINDS):
        for each in data["edges"]:
            if each["kind"] == name:
                ends = nodes[each["a"]], nodes[each["b"]]
                axes.plot(
                    [end["x"] for end in ends],
                    [end["y"] for end in ends],
                    color=colour,
                    linestyle=line,
                    linewidth=width,
                    zorder=1,
                )
    largest = max((each["records"] or 1) for each in nodes)
    middle = sum(each["y"] for each in nodes) / len(nodes)
    for each in nodes:
        axes.scatter(
            each["x"],
            each["y"],
            s=30 + 170 * (each["records"] or 1) / largest,
            marker="D" if each["alert"] else "o",
            facecolor=("white" if each["of_case"] else "#e8e8e8"),
            edgecolor=RED if each["alert"] else BLACK,
            linewidths=1.2,
            zorder=2,
        )
        if len(nodes) <= 40:
            axes.annotate(
                each["label"],
                (each["x"], each["y"]),
                xytext=(0, -12 if each["y"] <= middle else 8),
                textcoords="offset points",
                ha="center",
                fontsize=6.5,
                zorder=3,
                bbox=HALO,
            )
    axes.margins(0.1)
    axes.set_axis_off()
    frame(axes)
    handles = [
        Line2D([], [], color=colour, linestyle=line, linewidth=width, label=words)
        for name, words, colour, line, width in KINDS
        if any(each["kind"] == name for each in data["edges"])
    ]
    handles.append(
        Line2D(
            [],
            [],
            marker="o",
            color=BLACK,
            markerfacecolor="white",
            linestyle="",
            label="account (larger: more records)",
        )
    )
    if any(each["alert"] for each in nodes):
        handles.append(
            Line2D(
                [],
                [],
                marker="D",
                color=RED,
                markerfacecolor="white",
                linestyle="",
                label="account with an alert of its own",
            )
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
