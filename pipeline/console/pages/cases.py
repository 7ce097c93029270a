"""Cases: notes, proposals, decisions, each with who and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.console.page import as_moment
from pipeline.console.pages.clusters import known
from pipeline.console.pages.login import local
from pipeline.console.routes import PageRoute
from pipeline.console.verdict_flow import FOUR_EYES, GUARDED
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page


def number_of(text: str) -> int:
    """A case's or proposal's number.

    Raises
    ------
    UsageError
        It is none.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        msg = f"{text!r} is no number of a case"
        raise UsageError(msg)
    return int(text)


def index(page: Page) -> Response:
    """All cases, and what waits for a second pair of eyes."""
    every = page.console.cases.every()
    state = page.get("state", "open")
    mine = page.get("who")
    shown = [
        each
        for each in every
        if (state == "all" or bool(each["is_open"]) == (state == "open"))
        and (not mine or each["opened_by"] == mine)
    ]
    return page.render(
        "cases.html",
        cases=shown,
        state=state,
        counts={"open": sum(bool(each["is_open"]) for each in every), "all": len(every)},
        waiting=page.console.cases.proposals(waiting=True),
    )


def case(page: Page) -> Response:
    """One case."""
    number = number_of(page.get("id"))
    about, story, proposals = story_of(page, number)
    kind, subject = about["subject_kind"], about["subject_id"]
    standing, _ = page.attempt(lambda: page.rows("verdict_history", subject_id=subject))
    alerts, _ = page.attempt(lambda: page.rows("case_alerts", subject=subject))
    own = [row for row in alerts or [] if row["subject_id"] == subject]
    stands = [row for row in standing or [] if row["is_standing"]]
    return page.render(
        "case.html",
        case=about,
        story=story,
        waiting=[each for each in proposals if each.outcome is None],
        standing=stands,
        history=standing or [],
        alerts=own,
        four_eyes=FOUR_EYES,
        guarded=GUARDED,
        stands_guarded=next((row["verdict"] for row in stands if row["verdict"] in GUARDED), None),
        subject_link=page.link("/cluster" if kind == "cluster" else "/account", id=subject),
    )


def story_of(page: Page, number: int) -> tuple[dict[str, Any], list[dict[str, Any]], list[Any]]:
    """A case, everything that happened in it, oldest first, and its proposals.

    Raises
    ------
    UsageError
        There is no such case.
    """
    about = page.console.cases.case(number)
    proposals = page.console.cases.proposals(case=number)
    return about, _story(about, page.console.cases.events(number), proposals), proposals


def _story(about: dict[str, Any], events: list[dict[str, Any]], proposals: list[Any]) -> list[dict[str, Any]]:
    """Everything that happened, oldest first."""
    told = [{"at": about["opened_at"], "who": about["opened_by"], "what": "opened", "body": "", "link": None}]
    told += [dict(each) for each in events]
    for each in proposals:
        told.append(
            {
                "at": each.proposed_at,
                "who": each.proposed_by,
                "what": "proposed",
                "proposal": each,
                "body": each.reason,
                "link": None,
            }
        )
        if each.outcome is not None:
            told.append(
                {
                    "at": each.decided_at,
                    "who": each.decided_by,
                    "what": each.outcome,
                    "proposal": each,
                    "body": each.decision_reason or "",
                    "link": None,
                }
            )
    return sorted(told, key=lambda each: each["at"])


def open_case(page: Page) -> Response:
    """A new case, or the open one about the same subject."""
    kind, subject = page.field("kind"), page.form.get("subject", "")
    subject = known_here(page, kind, subject)
    number = page.console.cases.open(kind, subject, page.field("title"), page.user.name)
    return page.to("/case", id=number)


def known_here(page: Page, kind: str, subject: str) -> str:
    """The name under which a case is kept; what the lake does not know as that kind is refused.

    Raises
    ------
    UsageError
        Neither an account nor a cluster, or none that the lake has.
    """
    if kind not in {"account", "cluster"} or not subject:
        msg = "a case is about an account or a cluster"
        raise UsageError(msg)
    if kind == "cluster":
        found = known(page, subject)
        name = found.id if found is not None else None
    else:
        name = subject if page.rows("account_summary", account_id=subject) else None
    if name is None:
        msg = f"this lake knows no {kind} {subject!r}"
        raise UsageError(msg)
    return name


def note(page: Page) -> Response:
    """Something was found."""
    number = number_of(page.field("case"))
    link = page.field("link")
    if link and local(link) != link:
        msg = f"the page it speaks of is {link!r}; give an address of this console, from its first / on, or none"
        raise UsageError(msg)
    page.console.cases.note(number, page.form.get("body", ""), page.user.name, link=link or None)
    return page.to("/case", id=number)


def close(page: Page) -> Response:
    """Closed, or opened again."""
    number = number_of(page.field("case"))
    if page.field("what") == "reopen":
        page.console.cases.reopen(number, page.field("reason"), page.user.name)
    else:
        page.console.cases.close(number, page.field("reason"), page.user.name)
    return page.to("/case", id=number)


def propose(page: Page) -> Response:
    """A verdict was proposed, or given where one person is enough."""
    number = number_of(page.field("case"))
    done = page.console.flow.propose(
        number,
        page.user,
        verdict=page.field("verdict"),
        reason=page.field("reason"),
        expires_at=as_moment(page.field("expires"), "expires"),
        alert_id=page.field("alert") or None,
    )
    _noted(page, done)
    return page.to("/case", id=number)


def decide(page: Page) -> Response:
    """A proposal was approved, rejected or retracted."""
    done = page.console.flow.decide(
        number_of(page.field("proposal")), page.user, page.field("outcome"), page.field("reason")
    )
    _noted(page, done)
    return page.to("/case", id=done.case_id)


def withdraw(page: Page) -> Response:
    """A verdict was taken back."""
    number = number_of(page.field("case"))
    done = page.console.flow.withdraw(number, page.user, page.field("verdict_id"), page.field("reason"))
    _noted(page, done)
    return page.to("/case", id=number)


def _noted(page: Page, proposal: Any) -> None:
    page.console.queries.audit.note(
        "verdict",
        who=page.user.name,
        case=f"case-{proposal.case_id}",
        proposal=proposal.id,
        verdict=proposal.verdict,
        subject=proposal.subject_id,
        outcome=proposal.outcome or "proposed",
        verdict_id=proposal.verdict_id,
    )


ROUTES = (
    PageRoute("/cases", index),
    PageRoute("/case", case),
    PageRoute("/case/open", open_case, role="investigator", method="POST"),
    PageRoute("/case/note", note, role="investigator", method="POST"),
    PageRoute("/case/close", close, role="investigator", method="POST"),
    PageRoute("/case/propose", propose, role="investigator", method="POST"),
    PageRoute("/case/decide", decide, role="investigator", method="POST"),
    PageRoute("/case/withdraw", withdraw, role="investigator", method="POST"),
)
