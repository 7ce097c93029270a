"""The case file in Chromium, from disk, without a network: on screens, in print, and for people who do not see it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the tests' dependencies")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "case.html"
    path.write_text(page)
    return path


def opened(chromium: Any, file: Path, width: int) -> tuple[Any, list[str], list[str]]:
    context = chromium.new_context(offline=True, viewport={"width": width, "height": 900})
    tab, complaints, requests = context.new_page(), [], []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(file.as_uri())
    return tab, complaints, requests


@pytest.mark.parametrize("width", [390, 1440])
def test_it_opens_from_disk_without_a_network_and_fits_the_screen(
    chromium: Any, file: Path, width: int
) -> None:
    tab, complaints, requests = opened(chromium, file, width)
    assert complaints == []
    assert requests == [file.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("svg").count() == 10
    sizes = tab.evaluate("[...document.querySelectorAll('svg')].map(e => [e.clientWidth, e.clientHeight])")
    assert all(across > 300 and down > 80 for across, down in sizes)
    tab.context.close()


def test_the_sql_of_a_figure_unfolds_where_its_link_leads(chromium: Any, file: Path) -> None:
    tab, complaints, _ = opened(chromium, file, 1440)
    assert not tab.locator("#sql-case_topics pre:not(.command)").is_visible()
    tab.locator('a[href="#sql-case_topics"]').first.click()
    tab.locator("#sql-case_topics pre:not(.command)").wait_for(state="visible")
    assert complaints == []
    tab.context.close()


def test_what_is_folded_on_a_screen_is_on_paper(chromium: Any, file: Path) -> None:
    tab, complaints, _ = opened(chromium, file, 1000)
    tab.emulate_media(media="print")
    hidden = tab.evaluate(
        "[...document.querySelectorAll('details > *:not(summary)')].filter(e => !e.checkVisibility({contentVisibilityAuto: true})).length"
    )
    assert hidden == 0
    printed = tab.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    assert complaints == []
    tab.context.close()


def test_a_checker_of_accessibility_finds_nothing_serious(chromium: Any, file: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    tab, _, _ = opened(chromium, file, 1440)
    found = axe.Axe().run(tab).response["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"][:200])
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]
    assert serious == []
    tab.context.close()
