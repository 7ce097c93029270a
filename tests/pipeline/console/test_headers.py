"""What browsers are told on every answer, and that pages live by it."""

import re

import pytest

from pipeline.console.guards import CONTENT_SECURITY_POLICY

PATHS = [
    "/queue",
    "/login",
    "/health",
    "/nothing",
    "/static/console.css",
    "/account?id=nobody",
    "/audit",
    "/sql",
    "/playbooks",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_policy(approver, path):
    headers = approver.get(path).headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


def test_the_policy_lets_nothing_inline_run_and_nothing_in_from_elsewhere():
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "script-src 'self';" in CONTENT_SECURITY_POLICY


def test_pages_are_not_kept_and_assets_are(approver):
    page = approver.get("/queue")
    assert page.headers["cache-control"] == "no-store"
    asset = re.search(r'href="(/static/console\.css\?v=[0-9a-f]+)"', page.text)[1]
    assert "immutable" in approver.get(asset).headers["cache-control"]
    assert approver.get("/static/console.css").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "vendor/vendor.json", "console.css/../../app.py", "%2e%2e/app.py"]
)
def test_only_assets_are_served(approver, name):
    assert approver.get(f"/static/{name}").status_code == 404


def test_no_page_has_scripts_or_styles_inside(approver, planted):
    for path in (
        "/queue",
        "/sql",
        f"/account?id={planted.alerted}",
        f"/cluster?id={planted.cluster}",
        f"/account/prompts?id={planted.alerted}",
        "/login",
    ):
        text = approver.get(path).text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), path
        # Figures stand in blocks that browsers do not run.
        assert all(
            "src=" in each or "application/json" in each for each in re.findall(r"<script[^>]*>", text)
        )
        assert not re.search(r'(?:src|href|action|hx-get|hx-post)="(?:https?:)?//', text), path


def test_a_fault_says_nothing_but_its_number(approver, shared, monkeypatch, caplog):
    def broken(*_arguments, **_more):
        msg = "a secret of the machine"
        raise RuntimeError(msg)

    monkeypatch.setattr(shared.console.cases, "every", broken)
    answer = approver.get("/cases")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    number = re.search(r"number ([0-9a-f]{8})", answer.text)[1]
    assert number in caplog.text
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


def test_messages_do_not_say_where_the_lake_lies(approver, shared):
    answer = approver.post("/sql", q="select * from read_parquet('/etc/passwd')")
    assert answer.status_code == 200
    assert 'class="problem"' in answer.text
    assert str(shared.console.settings.lake) not in answer.text
