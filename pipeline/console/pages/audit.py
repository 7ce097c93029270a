"""Who asked what: the record, newest first, and whether it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.console.audit_reading import Excerpt, Wanted, excerpt
from pipeline.console.routes import PageRoute
from pipeline.sandbox import AuditBroken

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page

EACH = 100
EVENTS = ("asked", "export", "verdict", "case file", "login")
OUTCOMES = ("answered", "refused", "failed", "killed", "open")


def asked_for(page: Page, *, most: int) -> tuple[Wanted, Excerpt]:
    """Which lines an address asks for, and these.

    Raises
    ------
    AuditBroken
        A line is no line of the record.
    """
    wanted = Wanted(
        page.get("who"), page.get("event"), page.get("case"), page.get("outcome"), page.get("q").lower()
    )
    before = page.integer("before", 0, high=1 << 53) or None
    return wanted, excerpt(page.console.queries.audit.path, wanted, most=most, before=before)


def audit(page: Page) -> Response:
    """One page of the record."""
    found, problem = Excerpt([], None, 0, 0), None
    try:
        _, found = asked_for(page, most=EACH)
    except AuditBroken as error:
        problem = page.said(error)
    return page.render(
        "audit.html",
        found=found,
        names=sorted({str(each["name"]) for each in page.console.users.every()} | {"console"}),
        given={name: page.get(name) for name in ("who", "event", "case", "outcome", "q", "before")},
        events=EVENTS,
        outcomes=OUTCOMES,
        problem=problem,
        check=_check(page) if page.get("check") else None,
    )


def _check(page: Page) -> dict[str, Any]:
    try:
        whole = page.console.queries.audit.verify()
    except AuditBroken as error:
        return {"whole": False, "line": error.line, "text": page.said(error)}
    return {"whole": True, "lines": whole.lines, "head": whole.head}


ROUTES = (PageRoute("/audit", audit, role="investigator"),)
