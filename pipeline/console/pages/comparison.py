"""An account beside a class: signal by signal, and topic by topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.console import evidence
from pipeline.console.grids import grid
from pipeline.console.pages.accounts import missing
from pipeline.console.routes import PageRoute

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page

TOPICS = 256
WIDE = 32
EDGE = 100


def class_names(page: Page) -> list[dict[str, Any]]:
    """The benign classes of the newest scoring, the largest first."""
    rows, _ = page.attempt(lambda: page.shared_rows("case_queue_facets", subject_kind="account"))
    return [row for row in rows or [] if row["facet"] == "benign_class"]


def compare(page: Page) -> Response:
    """Where the account lies in the spread of a class."""
    name = page.exactly("id")
    mine, problem = page.attempt(lambda: page.rows("why_flagged", account_id=name))
    if not (mine or problem) and (gone := missing(page, name)) is not None:
        return gone
    classes = class_names(page)
    own = page.rows("case_queue", search=name, limit_rows=20) if name else []
    current = next((row["benign_class"] for row in own if row["subject_id"] == name), None)
    chosen = page.get("class") or current or (classes[0]["facet_value"] if classes else "")
    theirs = page.shared_rows("what_a_class_looks_like", benign_class=chosen) if chosen else []
    values = {row["signal"]: row["signal_value"] for row in mine or [] if row["signal_value"] is not None}
    rows = [
        _strip({**row, "value": values[row["signal"]]})
        for row in theirs
        if row["signal"] in values and row["class_tenth"] is not None
    ]
    rows.sort(key=lambda row: (-row["outside"], row["signal"]))
    return page.render(
        "compare.html",
        id=name,
        problem=problem,
        classes=classes,
        chosen=chosen,
        current=current,
        rows=rows,
        unusual=sum(row["outside"] > 0 for row in rows),
    )


def _strip(row: dict[str, Any]) -> dict[str, Any]:
    """Places on a strip of 0 to 100: the class's middle four fifths, its median, everybody's, and the account."""
    points = [row["class_tenth"], row["class_ninetieth"], row["class_median"], row["value"]]
    if row["median_of_everybody"] is not None:
        points.append(row["median_of_everybody"])
    low, high = min(points), max(points)
    span = (high - low) or 1.0

    def at(value: float | None) -> float | None:
        return None if value is None else round(4 + 92 * (value - low) / span, 2)

    spread = (row["class_ninetieth"] - row["class_tenth"]) or span
    outside = max(row["class_tenth"] - row["value"], row["value"] - row["class_ninetieth"], 0.0) / spread
    return {
        **row,
        "sentence": evidence.sentence(row["signal"], row["value"]),
        "outside": outside,
        "at": {
            "tenth": at(row["class_tenth"]),
            "ninetieth": at(row["class_ninetieth"]),
            "median": at(row["class_median"]),
            "everybody": at(row["median_of_everybody"]),
            "account": at(row["value"]),
        },
    }


def coverage(page: Page) -> Response:
    """Which topics the account covers, beside its class: one square per topic."""
    name = page.exactly("id")
    chosen = page.get("class") or None
    rows, problem = page.attempt(
        lambda: page.rows("topic_coverage_against_class", account_id=name, benign_class=chosen)
    )
    rows = rows or []
    if not (problem or any(row["records"] for row in rows)) and (gone := missing(page, name)) is not None:
        return gone
    growth, _ = page.attempt(lambda: page.rows("coverage_growth", account_id=name))
    by_class = sorted(rows, key=lambda row: (-row["class_share"], -row["share"], row["topic"]))
    largest = max((max(row["share"], row["class_share"]) for row in rows), default=0.0) or 1.0
    squares = [
        {
            **row,
            "x": number % WIDE,
            "y": number // WIDE,
            "side": round(0.94 * (row["share"] / largest) ** 0.5, 4),
            "class_side": round(0.94 * (row["class_share"] / largest) ** 0.5, 4),
        }
        for number, row in enumerate(by_class)
    ]
    return page.render(
        "coverage.html",
        id=name,
        problem=problem,
        chosen=chosen or (rows[0]["benign_class"] if rows else None),
        classes=class_names(page),
        squares=squares,
        wide=WIDE,
        high=max(1, -(-len(squares) // WIDE)),
        touched=sum(row["records"] > 0 for row in rows),
        of_class=sum(row["class_records"] > 0 for row in rows),
        alone=sum(row["records"] > 0 and not row["class_records"] for row in rows),
        growth=growth or [],
        grid=grid(page, by_class, caption="Topics", without=("class_accounts_in_all", "benign_class")),
    )


ROUTES = (PageRoute("/account/compare", compare), PageRoute("/account/coverage", coverage))
