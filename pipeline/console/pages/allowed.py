"""The allow-list: accounts whose alerts are silenced, until when and on whose word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.console.page import as_moment
from pipeline.console.pages.cases import _noted, known_here
from pipeline.console.routes import PageRoute
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page


def index(page: Page) -> Response:
    """Who is allowed, and who was."""
    rows = page.rows("allow_list")
    return page.render(
        "allowed.html",
        rows=rows,
        standing=[row for row in rows if row["is_standing"]],
        ended=[row for row in rows if not row["is_standing"]],
        id=page.exactly("id"),
    )


def add(page: Page) -> Response:
    """Somebody is allowed: a case is opened for it, so that the reason has a place."""
    kind = "cluster" if page.field("kind") == "cluster" else "account"
    typed = page.form.get("subject", "")
    try:
        subject = known_here(page, kind, typed)
    except UsageError:
        # Typed by hand, blanks around it may be nobody's.
        if typed == typed.strip():
            raise
        subject = known_here(page, kind, typed.strip())
    number = page.console.cases.open(kind, subject, f"Allow {subject}", page.user.name)
    done = page.console.flow.propose(
        number,
        page.user,
        verdict="allowed",
        reason=page.field("reason"),
        expires_at=as_moment(page.field("expires"), "expires"),
    )
    _noted(page, done)
    # Over an attack, or over another allowance, it waits for a second approver: the case says so.
    return page.to("/allowed") if done.outcome else page.to("/case", id=number)


ROUTES = (
    PageRoute("/allowed", index),
    PageRoute("/allowed/add", add, role="approver", method="POST"),
)
