"""Every route that the application has, as it has them: a new one cannot be forgotten here."""

from __future__ import annotations

import re
import threading
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.routing import Route

from pipeline.console.pages import ROUTES
from pipeline.console.state.users import ROLES

HURT = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7*7 }}"


def served(app: Any) -> list[tuple[str, str]]:
    """Method and path of all that is answered."""
    return [
        (method, route.path)
        for route in app._app.routes
        if isinstance(route, Route)
        for method in sorted(route.methods or {"GET"})
        if method != "HEAD"
    ]


def test_every_form_without_its_token_is_refused(shared: Any, approver: Any) -> None:
    posts = [path for method, path in served(shared.app) if method == "POST"]
    assert {"/login", "/logout"} <= set(posts)
    assert len(posts) > 8
    for path in posts:
        for fields in ({}, {"csrf": ""}, {"csrf": "x" * 43}):
            answer = approver.client.post(path, data=fields)
            assert answer.status_code == 403, (path, fields)
    # Whoever forgets a form of the door is refused too, and nobody was logged out by it.
    assert approver.get("/cases").status_code == 200
    assert {method for method, _ in served(shared.app)} == {"GET", "POST"}


@pytest.mark.parametrize("role", [None, *ROLES])
def test_each_role_gets_what_it_may_and_nothing_else(start: Any, role: str | None) -> None:
    running = start()
    visitor = running.visitor("somebody", role) if role else None
    client = visitor.client if visitor else running.client()
    allowed, refused = 0, 0
    for route in ROUTES:
        fields = {"csrf": visitor.csrf} if visitor else {}
        more = (
            {"data": fields}
            if route.method == "POST"
            else {"params": {"id": "nobody", "q": "", "format": "csv"}}
        )
        answer = client.request(route.method, route.path, **more)
        if role is None:
            assert answer.status_code == (303 if route.method == "GET" else 401), route
        elif ROLES.index(role) < ROLES.index(route.role):
            assert answer.status_code == 403, route
            assert f"takes the role {route.role}" in answer.text, route
            refused += 1
        else:
            # Empty forms and names that nobody has: refused for what they say, not for who sends them.
            assert answer.status_code in {200, 303, 400, 404}, (route, answer.text[-800:])
            allowed += 1
    assert role != "viewer" or (allowed > 10 and refused > 10)
    assert role != "approver" or not refused
    # An empty form made nothing.
    assert running.console.cases.every() == []


def test_a_session_is_never_the_one_that_was_brought_along(start: Any) -> None:
    running = start()
    token = running.console.users.add("ana", "viewer")
    client = running.client()
    client.cookies.set("distillwatch_session", "chosen-by-somebody-else")
    form = re.search(r'name="csrf" value="([^"]+)"', client.get("/login").text)
    assert form is not None
    answer = client.post("/login", data={"csrf": form[1], "token": token})
    (given,) = (
        each for each in answer.headers.get_list("set-cookie") if each.startswith("distillwatch_session=")
    )
    assert "chosen-by-somebody-else" not in given
    assert {"HttpOnly", "Path=/"} <= {part.strip() for part in given.split(";")}
    assert running.console.users.session("chosen-by-somebody-else") is None
    # Logging in again makes another one; the form's secret of the first session does not fit it.
    first = running.visitor("ben", "approver")
    second = running.visitor("ben", "approver")
    assert first.csrf != second.csrf
    assert second.client.post("/sql", data={"q": "select 1", "csrf": first.csrf}).status_code == 403


def test_two_approvers_at_once_make_one_verdict(start: Any, planted: Any) -> None:
    running = start()
    ana = running.visitor("ana", "investigator")
    approvers = [running.visitor(name, "approver") for name in ("ben", "eve", "kim")]
    ana.post("/case/open", kind="account", subject=planted.alerted)
    ana.post("/case/propose", case=1, verdict="attack", reason="harvests")
    # A second role does not make a second pair of eyes.
    running.console.users.set_role("ana", "approver")
    assert ana.post("/case/decide", proposal=1, outcome="approved").status_code == 403
    answers: list[int] = []
    gate = threading.Barrier(len(approvers))

    def approve(visitor: Any) -> None:
        gate.wait()
        answers.append(visitor.post("/case/decide", proposal=1, outcome="approved").status_code)

    threads = [threading.Thread(target=approve, args=(each,)) for each in approvers]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(answers) == [303, 400, 400]
    (proposal,) = running.console.cases.proposals(case=1)
    assert proposal.decided_by in {"ben", "eve", "kim"}
    running.clock.advance(3)
    history = ana.get(
        "/export/playbook", name="verdict_history", format="json", **{"p.subject_id": planted.alerted}
    )
    assert [row["verdict_id"] for row in history.json()] == [proposal.verdict_id]


class _Elements(HTMLParser):
    """Names of elements and attributes, for what nobody wrote."""

    def of(self, text: str) -> tuple[set[str], set[str]]:
        self.tags: list[str] = []
        self.sources: list[str | None] = []
        self.handlers: set[str] = set()
        self.feed(text)
        return {source for source in self.sources if source == "x"} | {  # type: ignore[misc]
            tag
            for tag, source in zip(self.tags, self.sources, strict=True)
            if tag == "script" and source == "inline"
        }, self.handlers

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        inline = tag == "script" and "src" not in given and given.get("type") != "application/json"
        self.sources.append("inline" if inline else given.get("src"))
        self.handlers |= {name for name in given if name.startswith("on")}


def test_nothing_that_is_stored_becomes_markup(start: Any, planted: Any) -> None:
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    assert ana.post("/case/open", kind="account", subject=planted.alerted, title=HURT).status_code == 303
    assert ana.post("/case/note", case=1, body=HURT, link=f"/account?id={HURT}").status_code == 303
    assert ana.post("/case/propose", case=1, verdict="attack", reason=HURT).status_code == 303
    assert ben.post("/case/decide", proposal=1, outcome="rejected", reason=HURT).status_code == 303
    assert ana.post("/case/propose", case=1, verdict="benign", reason=HURT).status_code == 303
    assert (
        ben.post("/allowed/add", subject=planted.alerted, reason=HURT, expires="2026-03-01").status_code
        == 303
    )
    assert ana.post("/case/close", case=1, reason=HURT).status_code == 303
    assert ana.post("/sql", q=f"select '{HURT.replace(chr(39), '')}' as a", case=HURT).status_code == 200
    running.clock.advance(3)
    asked = {"name": "why_flagged", "p.account_id": HURT, "run": 1}
    for path, more in (
        ("/cases", {"state": "all"}), ("/case", {"id": 1}), ("/allowed", {}), ("/queue", {"all": 1}), ("/account", {"id": planted.alerted}),
        ("/account/part", {"id": planted.alerted, "part": "verdicts"}), ("/audit", {}), ("/audit", {"who": HURT, "case": HURT, "q": HURT}),
        ("/playbooks", asked), ("/sql", {"q": f"select 1 -- {HURT}", "run": 1, "case": HURT}), ("/find", {"q": HURT}), ("/export/case", {"id": 1, "format": "json"}),
        ("/queue", {"decision": HURT, "q": HURT, "min_records": HURT}), ("/account/records", {"id": HURT, "from": HURT}),
    ):  # fmt: skip
        answer = ben.client.get(path, params=more, follow_redirects=True)
        assert answer.status_code in {200, 400, 404}, (path, answer.status_code)
        if answer.headers["content-type"].startswith("text/html"):
            assert _Elements().of(answer.text) == (set(), set()), path
    assert "&lt;img src=x" in ben.get("/case", id=1).text
    assert "{{ 7*7 }}" in ben.get("/case", id=1).text


@pytest.mark.parametrize(
    "path",
    [
        "/account?id=../../../../etc/passwd", "/cluster?id=..%2f..%2fetc", "/export/case-file?subject=../../etc/passwd", "/case?id=..", "/case?id=%C2%B2",
        "/export/case?id=../1&format=json", "/playbooks?name=../../views/alerts", "/export/playbook?name=../views/alerts&format=csv", "/audit?before=-1",
        "/queue?page=99999999999999999999", "/queue?manifest=../1", "/account/part?id=a&part=../../base", "/account/records?id=a&from=0001-01-01T00:00:00%2B14:00",
    ],
)  # fmt: skip
def test_addresses_that_reach_for_more_get_nothing(investigator: Any, path: str) -> None:
    answer = investigator.get(path)
    assert answer.status_code in {200, 400, 404}, answer.text[-500:]
    assert "root:" not in answer.text


def test_what_is_very_long_is_refused_in_words(start: Any, planted: Any) -> None:
    running = start()
    ana = running.visitor("ana", "investigator")
    ana.post("/case/open", kind="account", subject=planted.alerted)
    long = "x" * 30_000
    for path, fields in (
        ("/case/open", {"kind": "account", "subject": long}),
        ("/case/note", {"case": 1, "body": long}),
        ("/case/note", {"case": 1, "body": "short", "link": "/" + long}),
        ("/case/propose", {"case": 1, "verdict": "benign", "reason": long}),
        ("/case/close", {"case": 1, "reason": long}),
        ("/case/decide", {"proposal": "9" * 13, "outcome": "approved"}),
    ):
        answer = ana.post(path, **fields)
        assert answer.status_code == 400, (path, answer.status_code)
    elsewhere = ana.post("/case/note", case=1, body="short", link="https://elsewhere.example/")
    assert elsewhere.status_code == 400
    assert "an address of this console" in elsewhere.text
    assert [each["what"] for each in running.console.cases.events(1)] == []
    assert ana.post("/sql", q=f"select '{long}' as a").status_code == 200
    assert ana.get("/account", id="x" * 5000).status_code in {200, 404}
