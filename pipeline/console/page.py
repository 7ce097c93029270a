"""One request, as a page's function sees it: who asks, for what, of which manifest; and what goes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, RedirectResponse, Response

from pipeline.console.queries import said
from pipeline.errors import DistillwatchError, QueryFailed, QueryKilled, UsageError
from pipeline.times import from_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from pipeline.console.app import Console
    from pipeline.console.state.users import Session, User
    from pipeline.sandbox import Answer

FOREVER = datetime.max
SHARED = "console"
"""Who asks, in the record, what serves everybody."""


@dataclass
class Page:
    """One request. Runs in a thread: its functions may block."""

    console: Console
    request: Request
    session: Session
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> User:
        """Who asks."""
        return self.session.user

    # What is asked for -------------------------------------------------------------------------------------

    def get(self, name: str, default: str = "") -> str:
        """A parameter of the address, without blanks around it."""
        return self.request.query_params.get(name, default).strip()

    def exactly(self, name: str) -> str:
        """A parameter of the address as it stands: blanks at the ends of an id belong to it."""
        return self.request.query_params.get(name, "")

    def field(self, name: str) -> str:
        """A field of the form that was sent."""
        return self.form.get(name, "").strip()

    def integer(self, name: str, default: int, *, low: int = 0, high: int = 1_000_000_000) -> int:
        """A whole number of the address.

        Raises
        ------
        UsageError
            It is none, or out of bounds.
        """
        text = self.get(name)
        if not text:
            return default
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            msg = f"{name} is {text!r}; it has to be a whole number from {low} to {high:,}"
            raise UsageError(msg)
        return value

    def moment(self, name: str) -> datetime | None:
        """A time of the address, UTC.

        Raises
        ------
        UsageError
            It is none.
        """
        return as_moment(self.get(name), name)

    @cached_property
    def manifest(self) -> int | None:
        """The manifest that is looked at as of its publication; None: the lake as it is now."""
        return self.integer("manifest", 0) if self.get("manifest") else None

    # What the lake says ------------------------------------------------------------------------------------

    def playbook(self, name: str, **parameters: object) -> Answer:
        """Run a playbook, as this user, of the manifest that is looked at."""
        return self.console.queries.playbook(name, parameters, who=self.user.name, manifest=self.manifest)

    def unknown_values(self, answer: Answer, parameters: dict[str, str]) -> list[str]:
        """Whom an answer without rows asked about although the lake knows no such account or cluster."""
        return self.console.queries.unknown_values(
            answer, parameters, who=self.user.name, manifest=self.manifest
        )

    def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        """The rows of a playbook."""
        return self.playbook(name, **parameters).rows()

    def shared_rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        """The rows of a playbook that says nothing of a subject: other pages may have asked for them already.

        The record names the console and not whoever came first: one answer serves everybody.
        """
        return self.console.queries.playbook(
            name, parameters, who=SHARED, manifest=self.manifest, shared=True
        ).rows()

    # Where to go -------------------------------------------------------------------------------------------

    def link(self, path: str, **parameters: object) -> str:
        """An address here; what is None or empty is left out, the manifest that is looked at is kept."""
        given = {name.rstrip("_"): value for name, value in parameters.items() if value not in {None, ""}}
        if self.manifest is not None and "manifest" not in parameters:
            given["manifest"] = self.manifest
        query = urlencode({name: _in_address(value) for name, value in given.items()})
        return f"{path}?{query}" if query else path

    def here(self, **parameters: object) -> str:
        """The same address with some parameters changed; None takes one away."""
        given: dict[str, object] = dict(self.request.query_params)
        given.update({name.rstrip("_"): value for name, value in parameters.items()})
        kept = {name: _in_address(value) for name, value in given.items() if value not in {None, ""}}
        return f"{self.request.url.path}?{urlencode(kept)}" if kept else self.request.url.path

    # What goes back ----------------------------------------------------------------------------------------

    def render(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page."""
        text = self.console.render(template, self, **values)
        return HTMLResponse(text, status_code=status)

    def to(self, path: str, **parameters: object) -> Response:
        """Somewhere else, after something was done."""
        return RedirectResponse(self.link(path, **parameters), status_code=303)

    def attempt(self, question: Any) -> tuple[Any, str | None]:
        """What a function gives, or why the lake could not answer; that may be shown.

        Examples
        --------
        ``answer, problem = page.attempt(lambda: page.playbook("why_flagged", account_id="a"))``
        """
        try:
            return question(), None
        except (UsageError, QueryFailed, QueryKilled) as error:
            return None, self.said(error)

    def said(self, error: DistillwatchError) -> str:
        """What may be shown of an error."""
        return said(error, self.console.settings)

    @cached_property
    def freshness(self) -> dict[str, Any]:
        """Up to when the lake's data go, and what is wrong with them: on every page."""
        return freshness(self)


def as_moment(text: str, name: str) -> datetime | None:
    """A time from text, naive UTC.

    Raises
    ------
    UsageError
        It is none.
    """
    if not text:
        return None
    try:
        return from_text(text)
    except ValueError:
        msg = f"{name} is {text!r}; write a time as 2026-01-31 or 2026-01-31T08:00 (UTC)"
        raise UsageError(msg) from None


def _in_address(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def freshness(page: Page) -> dict[str, Any]:
    """The banner: newest data, scoring, what is missing or behind."""
    rows, problem = page.attempt(lambda: page.shared_rows("data_freshness_and_gaps"))
    if problem is not None:
        return {"problem": problem, "is_earlier": page.manifest is not None, "manifest": page.manifest}
    scored, _ = page.attempt(
        lambda: page.console.queries.ask(
            "select (select max(as_of) from account_scores) as scored, (select max(created_at) from manifest) as "
            "published, (select manifest from raw.lake) as manifest",
            who=SHARED,
            manifest=page.manifest,
            shared=True,
        ).rows()[0]
    )
    events = [row["newest_event_time"] for row in rows if row["newest_event_time"] is not None]
    return {
        "problem": None,
        "newest": max(events, default=None),
        "chains": len(rows),
        "records": sum(row["records"] or 0 for row in rows),
        "incomplete": [row for row in rows if row["is_incomplete"]],
        "behind": max((row["records_behind"] or 0 for row in rows), default=0),
        "rejected": sum(row["rejected"] or 0 for row in rows),
        "scored": (scored or {}).get("scored"),
        "published": (scored or {}).get("published"),
        "manifest": (scored or {}).get("manifest"),
        "newest_manifest": page.console.queries.newest,
        "is_earlier": page.manifest is not None,
        "is_exact": page.manifest is None or page.console.queries.knows_its_end(page.manifest),
    }


def data_island(value: Any) -> str:
    """JSON that may stand inside a page: nothing in it can end the element around it."""
    text = json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":"))
    return (
        text.replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
