"""The benign classes of this lake, and what each looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.console.grids import grid
from pipeline.console.pages.comparison import class_names
from pipeline.console.routes import PageRoute

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page


def classes(page: Page) -> Response:
    """All classes, or one."""
    chosen = page.get("name")
    rows = page.shared_rows("what_a_class_looks_like", benign_class=chosen) if chosen else []
    return page.render(
        "classes.html",
        chosen=chosen,
        classes=class_names(page),
        grid=grid(
            page,
            rows,
            caption=f"Signals of {chosen}",
            without=("class_accounts", "accounts_of_everybody", "accounts_in_lake", "reference_name"),
        ),
        first=rows[0] if rows else None,
    )


ROUTES = (PageRoute("/classes", classes),)
