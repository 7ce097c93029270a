"""Every page answers, says what it should, and keeps its state in its address."""

import re

import pytest

PAGES = [
    "/queue", "/queue?all=1", "/queue?decision=&subject_kind=cluster", "/queue?q=nobody", "/cases", "/classes", "/playbooks",
    "/playbooks?name=data_freshness_and_gaps&run=1", "/allowed", "/audit", "/audit?check=1", "/sql", "/sql?q=select+1&run=1",
]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers(approver, path):
    answer = approver.get(path)
    assert answer.status_code == 200, answer.text[:2000]
    assert answer.text.count("<h1") == 1
    assert "Data to" in answer.text
    assert "Undefined" not in answer.text


@pytest.mark.parametrize(
    "path", ["/account", "/account/records", "/account/compare", "/account/coverage", "/account/prompts"]
)
def test_every_page_of_an_account_answers(approver, planted, path):
    answer = approver.get(path, id=planted.alerted)
    assert answer.status_code == 200, answer.text[:2000]
    assert planted.alerted in answer.text


def test_every_section_of_an_account_answers(viewer, planted):
    page = viewer.get("/account", id=planted.alerted).text
    parts = re.findall(r'hx-get="(/account/part[^"]+)"', page)
    assert len(parts) >= 10
    for path in parts:
        answer = viewer.get(path.replace("&amp;", "&"))
        assert answer.status_code == 200, (path, answer.text[:1500])
        assert 'class="problem"' not in answer.text, path
