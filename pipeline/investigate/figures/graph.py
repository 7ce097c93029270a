"""The accounts of a cluster and what ties them."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

from pipeline.counted import counted
from pipeline.investigate.drawing import BLACK, BLUE, GREY, HALO, RED, frame, shown
from pipeline.investigate.figures.base import Figure, Sources, nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = dict[str, Any]

TITLE = "Cluster graph"
NODES = 80
"""Accounts that are drawn: more cannot be told apart on a page."""
EDGES = 240
"""Edges that are drawn."""
SKETCH = 64
"""Hashes of an account's prompts that an overlap is estimated from."""
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
    names, chosen = drawn(rows)
    judged = {row["account_id"]: row for row in sources.rows("case_accounts")}
    place = {name: at for at, name in enumerate(names)}
    members = set(sources.subject.accounts)
    edges = [
        {
            "a": place[row["account_a"]],
            "b": place[row["account_b"]],
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
            "of_case": name in members,
            "alert": (judged.get(name) or {}).get("decision") == "alert",
        }
        for name, (x, y) in zip(names, places, strict=True)
    ]
    caption = " ".join((_ties(rows, members), _shared_prompts(rows), _left_out(rows, names, chosen))).strip()
    return Figure(
        "graph",
        TITLE,
        caption,
        "Edges are the ten likeliest ties of each account, not all pairs; one counts as by payment or network if anything of that kind is "
        f"shared. Shares of prompts are estimated from at most {SKETCH} hashes of each account, so a share is known to .06 at best; what "
        "chance gives assumes that both draw evenly from one stock of prompts. Tenants of one application and workers that share a job out look "
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


def drawn(rows: list[Row]) -> tuple[list[str], list[Row]]:
    """Accounts and edges to draw, of edges in order of strength: no more than `NODES` and `EDGES`.

    Where there are more accounts, those are drawn that are reached along the strongest edges from the one with most edges,
    so that everybody who is drawn is tied to somebody who is.
    """
    names = sorted(_reached(rows))
    kept = set(names)
    met: Counter[str] = Counter()
    ranked = []
    for at, row in enumerate(rows):
        ends = row["account_a"], row["account_b"]
        if kept.issuperset(ends):
            ranked.append((min(met[end] for end in ends), at))
            met.update(ends)
    # First the strongest of each account, then the second, so that nobody is left without a line.
    return names, [rows[at] for _, at in sorted(ranked)[:EDGES]]


def _reached(rows: list[Row]) -> set[str]:
    """Accounts that are drawn."""
    ties: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for at, row in enumerate(rows):
        ties[row["account_a"]].append((at, row["account_b"]))
        ties[row["account_b"]].append((at, row["account_a"]))
    if len(ties) <= NODES:
        return set(ties)
    found: set[str] = set()
    for start in sorted(ties, key=lambda name: (-len(ties[name]), name)):
        # Rows are in order of strength: the least number is the strongest edge.
        reach = [(-1, start)]
        while reach and len(found) < NODES:
            _, name = heapq.heappop(reach)
            if name not in found:
                found.add(name)
                for tie in ties[name]:
                    heapq.heappush(reach, tie)
        if len(found) >= NODES:
            break
    return found


def _ties(rows: list[Row], members: set[str]) -> str:
    """How many edges and accounts rest on what."""
    best: dict[str, int] = {}
    order = [name for name, *_ in KINDS]
    for row in rows:
        rank = order.index(kind(row))
        for end in (row["account_a"], row["account_b"]):
            best[end] = min(best.get(end, rank), rank)
    payments = sum(bool(row["shared_payments"]) for row in rows)
    networks = sum(bool(row["shared_networks"]) for row in rows)
    found = Counter(best.values())
    words = (
        f"{counted(len(rows), 'edge')} between {counted(len(best), 'account')}: {payments:,} rest on a shared payment, {networks:,} on a shared "
        f"network. {counted(found[0], 'account')} {'is' if found[0] == 1 else 'are'} tied by a payment, {found[1]:,} more by a network, "
        f"{found[2]:,} by likeness alone"
    )
    alone = len(members - best.keys())
    return words + (
        f"; {counted(alone, 'account')} of the case {'has' if alone == 1 else 'have'} no edge."
        if alone
        else "."
    )


def _shared_prompts(rows: list[Row]) -> str:
    """How far the overlaps lie below what chance gives, and for how many pairs that can be told."""
    apart = [row for row in rows if row["overlap"] is not None and row["expected_overlap"]]
    if not apart:
        return "For none of them it can be told how many prompts would be shared by chance."
    chance, shared = (median(row[name] for row in apart) for name in ("expected_overlap", "overlap"))
    clear = sum(_below(row) >= 2 for row in apart)
    return (
        f"For {counted(len(apart), 'pair')} it can be told how many prompts two users of one stock would share by chance: {chance:.1%} "
        f"(median), against {shared:.1%} found. In {clear:,} of them the shortfall is at least two standard errors, in the others it may be chance."
    )


def _below(row: Row) -> float:
    """Standard errors by which an overlap lies below what chance gives; the error is that of the signal `overlap_deficit`."""
    chance = row["expected_overlap"]
    error = math.sqrt(max(chance * (1 - chance), 0.0) / SKETCH + 0.001)
    return float((chance - row["overlap"]) / error)


def _left_out(rows: list[Row], names: list[str], chosen: list[Row]) -> str:
    """What is not drawn."""
    if len(chosen) == len(rows):
        return ""
    accounts = len({row["account_a"] for row in rows} | {row["account_b"] for row in rows})
    if len(names) < accounts:
        return (
            f"Drawn are {len(names)} accounts, reached along the strongest edges from the one with most edges (the closest part, no sample), and "
            f"{len(chosen)} of their edges, the strongest of each first; {accounts - len(names):,} accounts and {len(rows) - len(chosen):,} edges are left out."
        )
    return f"Drawn are {len(chosen)} edges, the strongest of each account first; {len(rows) - len(chosen):,} are left out."


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
