"""Who asked what: the record, newest first, and whether it is whole."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from pipeline.console.routes import PageRoute
from pipeline.sandbox import AuditBroken

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page

EACH = 100


def audit(page: Page) -> Response:
    """One page of the record."""
    who, text, event = page.get("who"), page.get("q").lower(), page.get("event")
    number = page.integer("page", 1, low=1, high=100_000)
    kept: deque[dict[str, Any]] = deque(maxlen=EACH * number)
    ends: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    matching, problem = 0, None
    try:
        for entry in page.console.queries.audit.entries():
            line = dict(entry.document)
            if line.get("event") == "ended":
                ends[str(line.get("of"))] = line
                continue
            names.add(str(line.get("who")))
            if (who and line.get("who") != who) or (event and line.get("event") != event):
                continue
            if text and text not in _searched(line):
                continue
            kept.append(line)
            matching += 1
            while len(ends) > EACH * 100:
                ends.pop(next(iter(ends)))
    except AuditBroken as error:
        problem = page.said(error)
    # Those of the page asked for are the oldest that are still held.
    held = list(kept)[: len(kept) - EACH * (number - 1)] if number > 1 else list(kept)
    lines = [{**line, "end": ends.get(str(line.get("hash")))} for line in reversed(held[-EACH:])]
    return page.render(
        "audit.html",
        lines=lines,
        names=sorted(names - {"None"}),
        who=who,
        event=event,
        search=page.get("q"),
        total=matching,
        number=number,
        pages=max(1, -(-matching // EACH)),
        problem=problem,
        check=_check(page) if page.get("check") else None,
    )


def _searched(line: dict[str, Any]) -> str:
    return " ".join(
        str(line.get(key, "")) for key in ("sql", "playbook", "parameters", "case", "subject", "hash")
    ).lower()


def _check(page: Page) -> dict[str, Any]:
    try:
        whole = page.console.queries.audit.verify()
    except AuditBroken as error:
        return {"whole": False, "line": error.line, "text": page.said(error)}
    return {"whole": True, "lines": whole.lines, "head": whole.head}


ROUTES = (PageRoute("/audit", audit, role="investigator"),)
