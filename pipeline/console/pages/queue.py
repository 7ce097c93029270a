"""The queue: what should be looked at first, narrowed by facets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.console import formats
from pipeline.console.routes import PageRoute

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page

EACH = 50

FACETS = (
    ("subject_kind", "Kind"),
    ("decision", "Decision"),
    ("verdict", "Verdict"),
    ("benign_class", "Class"),
    ("detector", "Detector"),
)
RECORDS = (0, 50, 200, 1000, 5000)


def queue(page: Page) -> Response:
    """One page of the queue."""
    chosen: dict[str, str | None] = {name: page.get(name) or None for name, _ in FACETS}
    # The queue opens on what waits for somebody.
    if "decision" not in page.request.query_params and not page.get("all"):
        chosen["decision"] = "alert"
    least = page.integer("min_records", 0)
    search = page.get("q") or None
    number = page.integer("page", 1, low=1, high=100_000)
    rows = page.rows(
        "case_queue",
        **chosen,
        min_records=least,
        search=search,
        limit_rows=EACH,
        skip_rows=(number - 1) * EACH,
    )
    counted = page.shared_rows("case_queue_facets", **chosen, min_records=least)
    total = rows[0]["matching"] if rows else 0
    cases = {
        (each["subject_kind"], each["subject_id"]): each for each in reversed(page.console.cases.every())
    }
    facets = [
        _facet(name, title, chosen[name], [row for row in counted if row["facet"] == name])
        for name, title in FACETS
    ]
    return page.render(
        "queue.html",
        rows=rows,
        facets=[facet for facet in facets if facet["values"]],
        chosen=chosen,
        least=least,
        records=RECORDS,
        search=search or "",
        total=total,
        number=number,
        pages=max(1, -(-total // EACH)),
        first=(number - 1) * EACH + 1,
        cases=cases,
    )


def _facet(name: str, title: str, chosen: str | None, rows: list[dict[str, Any]]) -> dict[str, Any]:
    words = {**formats.DECISIONS, **formats.VERDICTS, "none": ("", "none yet")}
    values = [
        {
            "value": row["facet_value"],
            "sign": words.get(row["facet_value"], ("", ""))[0],
            "label": words.get(row["facet_value"], ("", row["facet_value"]))[1],
            "count": row["subjects"],
            "chosen": row["facet_value"] == chosen,
        }
        for row in rows
    ]
    if chosen is not None and not any(each["chosen"] for each in values):
        values.append({"value": chosen, "sign": "", "label": chosen, "count": 0, "chosen": True})
    return {"name": name, "title": title, "chosen": chosen, "values": values}


def jump(page: Page) -> Response:
    """What was typed into the search field: the one subject of that name, or a queue of those with it."""
    typed = page.exactly("q")
    # As it was typed first: blanks at its ends may be part of it, or come from copying.
    for name in dict.fromkeys((typed, typed.strip())):
        if not name.strip():
            continue
        rows = page.rows("case_queue", search=name, limit_rows=2)
        found = next((row for row in rows if row["subject_id"] == name), None)
        if found is None and page.rows("account_summary", account_id=name):
            return page.to("/account", id=name)
        if found is None and len(rows) == 1:
            found = rows[0]
        if found is not None:
            path = "/cluster" if found["subject_kind"] == "cluster" else "/account"
            return page.to(path, id=found["subject_id"])
    return page.to("/queue", q=typed.strip(), all="1") if typed.strip() else page.to("/queue")


ROUTES = (PageRoute("/queue", queue), PageRoute("/find", jump))
