"""Who gets in, who may do what, and that nothing changes by a form that is not ours."""

import re
import sqlite3

import pytest

from pipeline.console import ConsoleSettings
from pipeline.console.pages import ROUTES
from pipeline.console.pages.login import LOGIN_ROUTES, local
from pipeline.errors import UsageError

OPEN = {path for path, _, _ in LOGIN_ROUTES} | {"/health", "/static/{name:path}"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_nobody_comes_in_without_a_session(shared, route):
    client = shared.client()
    answer = client.request(route.method, route.path)
    if route.method == "GET":
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=")
    else:
        assert answer.status_code == 401
    made_up = shared.client()
    made_up.cookies.set("distillwatch_session", "made-up")
    assert made_up.request(route.method, route.path).status_code in {303, 401}


def test_every_address_is_behind_the_door_or_meant_to_be_open(shared):
    known = {route.path for route in shared.app._app.routes}
    assert known == OPEN | {route.path for route in ROUTES}


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.role != "viewer"],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_a_viewer_is_kept_from_what_takes_more(viewer, route):
    answer = viewer.get(route.path) if route.method == "GET" else viewer.post(route.path)
    assert answer.status_code == 403
    assert f"takes the role {route.role}" in answer.text


def test_every_route_that_changes_something_takes_more_than_a_viewer():
    assert {route.role for route in ROUTES if route.method == "POST"} <= {"investigator", "approver"}


def test_an_investigator_allows_nobody(investigator):
    assert investigator.post("/allowed/add", subject="x", reason="y", expires="2026-05-01").status_code == 403


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.method == "POST"], ids=lambda route: route.path
)
@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("another", {}),
        (None, {"origin": "http://evil.example"}),
        (None, {"origin": "null"}),
        (None, {"origin": "http://127.0.0.1:3000"}),
        (None, {"sec-fetch-site": "cross-site"}),
        (None, {"sec-fetch-site": "same-site"}),
    ],
)
def test_forms_of_others_change_nothing(approver, route, token, headers):
    fields = {"csrf": approver.csrf if token is None else token, "case": "1", "kind": "account"}
    answer = approver.client.post(route.path, data=fields, headers=headers)
    assert answer.status_code == 403
    assert "another" in answer.text


def test_our_own_forms_are_taken_from_our_own_pages(approver, planted):
    headers = {
        "origin": "http://127.0.0.1:8080",
        "sec-fetch-site": "same-origin",
        "x-csrf-token": approver.csrf,
    }
    answer = approver.client.post("/sql", data={"q": "select 41 + 1 as answer"}, headers=headers)
    assert answer.status_code == 200
    assert ">42<" in answer.text


def test_the_cookie_cannot_be_read_or_sent_along(start):
    running = start()
    token = running.console.users.add("ana", "viewer")
    client = running.client()
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/login").text)[1]
    answer = client.post("/login", data={"csrf": csrf, "token": token, "next": "/cases"})
    cookie = next(
        each for each in answer.headers.get_list("set-cookie") if each.startswith("distillwatch_session")
    )
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert answer.headers["location"] == "/cases"
    # What is kept opens nothing.
    held = running.console.settings.state_file.read_bytes() + b"".join(
        path.read_bytes() for path in running.console.settings.state_file.parent.iterdir()
    )
    assert token.encode() not in held
    assert client.cookies["distillwatch_session"].encode() not in held


def test_secure_cookies_and_strict_transport_where_https_is(start):
    running = start(secure_cookies=True)
    answer = running.client().get("/login")
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def test_logging_in_needs_the_form_that_was_asked_for(start):
    running = start()
    token = running.console.users.add("ana", "viewer")
    answer = running.client().post("/login", data={"csrf": "guessed", "token": token})
    assert answer.status_code == 403
    assert "distillwatch_session" not in answer.cookies


def test_tokens_cannot_be_tried_for_ever(start):
    running = start()
    token = running.console.users.add("ana", "viewer")
    client = running.client()
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/login").text)[1]

    def attempt(text, client=client):
        return client.post("/login", data={"csrf": csrf, "token": text})

    assert [attempt("wrong").status_code for _ in range(11)] == [403] * 10 + [429]
    # The right one neither, until time has passed; from elsewhere it opens.
    blocked = attempt(token)
    assert blocked.status_code == 429
    assert int(blocked.headers["retry-after"]) > 200
    running.clock.advance(301)
    assert attempt(token).status_code == 303


def test_a_disabled_user_and_a_new_token_end_open_sessions(start):
    running = start()
    visitor = running.visitor("ana", "investigator")
    assert visitor.get("/cases").status_code == 200
    running.console.users.token("ana")
    assert visitor.get("/cases").status_code == 303
    again = running.visitor("ana", "investigator")
    running.console.users.disable("ana")
    assert again.get("/cases").status_code == 303


def test_a_role_counts_from_the_next_request_on(start):
    running = start()
    visitor = running.visitor("ana", "investigator")
    assert visitor.get("/audit").status_code == 200
    running.console.users.set_role("ana", "viewer")
    assert visitor.get("/audit").status_code == 403


def test_sessions_end_when_idle_and_when_left(start):
    running = start()
    visitor = running.visitor("ana", "viewer")
    running.clock.advance(7 * 3600)
    assert visitor.get("/cases").status_code == 200
    running.clock.advance(8 * 3600 + 1)
    assert visitor.get("/cases").status_code == 303
    visitor = running.visitor("ana", "viewer")
    secret = visitor.client.cookies["distillwatch_session"]
    assert visitor.post("/logout").status_code == 303
    visitor.client.cookies.set("distillwatch_session", secret)
    assert visitor.get("/cases").status_code == 303


def test_a_trusted_proxy_names_users_and_nobody_else_does(start):
    running = start(proxy_header="X-Forwarded-User", trusted_proxies=("10.0.0.2",))
    running.console.users.add("ana", "investigator", token=False)
    proxy, stranger = running.client("10.0.0.2"), running.client("10.0.0.3")
    page = proxy.get("/cases", headers={"x-forwarded-user": "ana"})
    assert page.status_code == 200
    assert "Log out" not in page.text
    for client, names, status in (
        (stranger, ["ana"], 403),
        (proxy, ["eve"], 403),
        (proxy, [], 401),
        (proxy, ["ana", "eve"], 403),
    ):
        answer = client.get("/cases", headers=[("x-forwarded-user", name) for name in names])
        assert answer.status_code == status, names
    # No token opens the door beside it.
    token = running.console.users.token("ana")
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert csrf is None or proxy.post("/login", data={"csrf": csrf[1], "token": token}).status_code == 403
    assert stranger.post("/login", data={"token": token}).status_code == 403


def test_forms_behind_a_proxy_carry_a_secret_of_the_user(start, planted):
    running = start(proxy_header="X-Forwarded-User", trusted_proxies=("10.0.0.0/30",))
    for name in ("ana", "ben"):
        running.console.users.add(name, "investigator", token=False)
    proxy = running.client("10.0.0.2")

    def secret(name):
        page = proxy.get("/account", params={"id": planted.alerted}, headers={"x-forwarded-user": name})
        return re.search(r'name="csrf" value="([^"]+)"', page.text)[1]

    fields = {"kind": "account", "subject": planted.alerted}
    headers = {"x-forwarded-user": "ana"}
    assert secret("ana") != secret("ben")
    refused = proxy.post("/case/open", data={**fields, "csrf": secret("ben")}, headers=headers)
    assert refused.status_code == 403
    assert (
        proxy.post("/case/open", data={**fields, "csrf": secret("ana")}, headers=headers).status_code == 303
    )


def test_a_header_and_whose_word_is_taken_belong_together(tmp_path):
    with pytest.raises(UsageError, match="belong together"):
        ConsoleSettings(lake=tmp_path, proxy_header="X-User")
    with pytest.raises(UsageError, match="no address"):
        ConsoleSettings(lake=tmp_path, proxy_header="X-User", trusted_proxies=("proxy",))


def test_other_names_are_not_answered(shared):
    answer = shared.client().get("/login", headers={"host": "evil.example"})
    assert answer.status_code == 421
    assert shared.client().get("/health", headers={"host": "localhost:8080"}).status_code == 200


def test_large_bodies_are_refused(approver):
    answer = approver.client.post(
        "/sql",
        content=b"q=" + b"x" * (1 << 20),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 413


def test_a_link_from_elsewhere_leads_in_and_runs_nothing(shared):
    answer = shared.client().get("/sql?q=select+1&run=1", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text
    assert "run=1" not in answer.text
    assert "q=select" in answer.text


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil",
        "javascript:alert(1)",
        "",
        "/login?next=x",
    ],
)
def test_nobody_is_sent_elsewhere(target):
    assert local(target) == "/queue"


def test_first_user_is_added_once_and_the_token_is_not_kept(start, tmp_path):
    running = start(state=tmp_path / "state.sqlite")
    token = running.console.users.add("root", "approver")
    assert token.startswith("dw_")
    with pytest.raises(UsageError, match="already"):
        running.console.users.add("root", "viewer")
    with sqlite3.connect(tmp_path / "state.sqlite") as connection:
        held = repr(connection.execute("select * from tokens").fetchall())
    assert token not in held
