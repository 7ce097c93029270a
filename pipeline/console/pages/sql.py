"""Free SQL, through the sandbox like everything else, with what there is to ask beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.console.grids import grid
from pipeline.console.routes import PageRoute

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page

CATALOGUE = """
select v.view_name as relation, v.comment as about, c.column_name as name, c.data_type as type
from duckdb_views() as v
join duckdb_columns() as c on c.table_name = v.view_name and c.schema_name = v.schema_name
where v.schema_name = 'main' and not v.internal
order by v.view_name, c.column_index
"""
EXAMPLE = "select account_id, score, p_value, records\nfrom account_scores\norder by score desc\nlimit 20"
EDITOR_ROWS = 5


def catalogue(page: Page) -> tuple[list[dict[str, Any]], str | None]:
    """Relations with their columns."""
    rows, problem = page.attempt(
        lambda: page.console.queries.ask(CATALOGUE, who="console", manifest=page.manifest, shared=True).rows()
    )
    found: dict[str, dict[str, Any]] = {}
    for row in rows or []:
        relation = found.setdefault(
            row["relation"], {"name": row["relation"], "about": row["about"], "columns": []}
        )
        relation["columns"].append((row["name"], _short(row["type"])))
    return list(found.values()), problem


def _short(name: str) -> str:
    return name.lower() if len(name) <= 24 else f"{name[:20].lower()}\u2026"


def show(page: Page) -> Response:
    """The editor; a query in the address is filled in and runs when it was run from here."""
    text = page.get("q")
    return _render(page, text, run=bool(text and page.get("run")), case=page.get("case"))


def run(page: Page) -> Response:
    """The editor was sent."""
    return _render(page, page.form.get("q", ""), run=True, case=page.field("case"))


def _render(page: Page, text: str, *, run: bool, case: str) -> Response:
    answer, problem = None, None
    if run:
        answer, problem = page.attempt(
            lambda: page.console.queries.ask(
                text, who=page.user.name, case=case or None, manifest=page.manifest
            )
        )
    relations, trouble = catalogue(page)
    rows: list[dict[str, Any]] = answer.table.slice(0, 500).to_pylist() if answer is not None else []
    return page.render(
        "sql.html",
        text=text or EXAMPLE,
        case=case,
        height=min(30, max(EDITOR_ROWS, text.count("\n") + 2)),
        answer=answer,
        problem=problem or trouble,
        relations=relations,
        permalink=page.link("/sql", q=text, run="1", case=case) if run else None,
        grid=grid(
            page,
            rows,
            caption="Answer",
            total=answer.table.num_rows if answer is not None else 0,
            truncated=answer.truncated if answer is not None else False,
            names=answer.table.column_names if answer is not None else (),
        ),
    )


ROUTES = (
    PageRoute("/sql", show, role="investigator"),
    PageRoute("/sql", run, role="investigator", method="POST"),
)
