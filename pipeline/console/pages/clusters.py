"""A cluster: who belongs to it since when, and on what each tie rests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.console import evidence, formats
from pipeline.console.grids import grid
from pipeline.console.routes import PageRoute
from pipeline.counted import counted

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.evidence import Evidence
    from pipeline.console.page import Page

EDGES = (
    "account_a", "account_b", "score", "shared", "shared_networks", "shared_payments", "cosine", "topic_cosine", "overlap",
    "expected_overlap", "overlap_deficit", "template_overlap", "synchrony", "pivot_gap",
)  # fmt: skip
MEMBERS = (
    "account_id", "decision", "verdict", "records", "score", "p_value", "centroid_cosine", "links", "shared", "joined_at",
    "left_at", "first_seen", "last_seen", "benign_class",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """A cluster that the newest scoring, an earlier one or an alert knows.

    ``id`` is its lasting name; ``summary`` is None when the newest scoring does not form it.
    """

    id: str
    summary: dict[str, Any] | None
    members: list[dict[str, Any]]
    alerts: list[Evidence]


def known(page: Page, name: str) -> Known | None:
    """The cluster of this name; None: there is none, whatever else is called that."""
    if not name:
        return None
    summaries = page.rows("cluster_summary", cluster_id=name)
    summary = summaries[0] if summaries else None
    lasting = summary["cluster_id"] if summary else name
    members = page.rows("members_of_a_cluster", cluster_id=lasting)
    alerts = [evidence.read(row) for row in page.rows("case_alerts", subject=name)]
    own = [each for each in alerts if each.subject_kind == "cluster" and each.subject_id in {name, lasting}]
    return Known(lasting, summary, members, own) if summary or members or own else None


def cluster(page: Page) -> Response:
    """The page of one cluster."""
    name = page.exactly("id")
    found = known(page, name)
    if found is None:
        return page.render(
            "problem.html",
            status=404,
            title="No such cluster",
            text=f"Neither the newest scoring nor an alert knows a cluster {name!r}.",
        )
    lasting, summary, members, own = found.id, found.summary, found.members, found.alerts
    edges = page.rows("cluster_graph", cluster_id=lasting)
    return page.render(
        "cluster.html",
        id=lasting,
        summary=summary,
        sentences=_sentences(summary, members),
        alert=own[0] if own else None,
        members=members,
        member_grid=grid(page, members, caption="Members", only=MEMBERS),
        edge_grid=grid(page, edges, caption="Ties", only=EDGES),
        edges=edges,
        drawing=_drawing(page, members, edges),
        cases=page.console.cases.every(subject=("cluster", lasting)),
    )


def _sentences(summary: dict[str, Any] | None, members: list[dict[str, Any]]) -> list[str]:
    if summary is None:
        return ["The newest scoring does not form this cluster any more; what is shown is what it was."]
    now = [each for each in members if each["is_member"]]
    alone = summary["members_alerted"] or 0
    said = [
        (
            f"{counted(summary['members'], 'account')} with {counted(summary['records'], 'record')} together, "
            f"from {formats.when(summary['first_seen'])} to {formats.when(summary['last_seen'])} UTC; the largest has "
            f"{formats.number(summary['records_of_largest'])}, the middle one {formats.number(summary['median_records'])}."
        )
    ]
    if alone and alone == len(now):
        said.append(f"All {formats.number(alone)} members would be noticed alone.")
    elif alone:
        said.append(f"{counted(alone, 'member')} would be noticed alone; the others only together.")
    elif now:
        said.append("None of its members would be noticed alone.")
    if summary["edges"]:
        ties = [
            f"{formats.number(summary[key])} {words}"
            for key, words in (
                ("edges_with_networks", "share networks"),
                ("edges_with_payments", "share payment"),
            )
            if summary[key]
        ]
        said.append(
            f"{counted(summary['edges'], 'tie')} among its members"
            + (f": {', '.join(ties)}." if ties else ", none by network or payment.")
        )
    if summary["known_since"]:
        said.append(
            f"Known since the scoring of {formats.when(summary['known_since'])}; "
            f"{formats.number(summary['joined'] or 0)} joined and {formats.number(summary['has_left'] or 0)} left since."
        )
    return said


def _drawing(page: Page, members: list[dict[str, Any]], edges: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "nodes": [
            {
                "id": each["account_id"],
                "label": formats.ending(each["account_id"]),
                "records": each["records"] or 0,
                "decision": each["decision"] or "cannot_tell",
                "member": bool(each["is_member"]),
                "href": page.link("/account", id=each["account_id"]),
            }
            for each in members
        ],
        "edges": [
            {
                "source": each["account_a"],
                "target": each["account_b"],
                "score": each["score"],
                "tie": "payment"
                if each["shared_payments"]
                else "network"
                if each["shared_networks"]
                else "content",
                "shared": each["shared"] or [],
            }
            for each in edges
        ],
    }


ROUTES = (PageRoute("/cluster", cluster),)
