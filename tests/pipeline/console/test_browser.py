"""The flows of an investigation in a real Chromium: nothing leaves the machine, nothing complains, everything is reachable.

One lake, one browser, two people. Each test is one flow; whatever a page says on the console or asks for elsewhere fails
the test that it happened in.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the tests' dependencies")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"console_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


browsing = _beside("browsing")
CHROMIUM = browsing.chromium()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason=f"no Chromium on this machine (none of {', '.join(browsing.NAMES)})"
)
PATIENCE = 90_000


@dataclass
class Desk:
    """One person at one browser window."""

    page: Any
    base: str
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfailed", self._failed)

    def _said(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.troubles.append(f"{message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.troubles.append(f"left the machine: {request.url}")

    def _failed(self, request: Any) -> None:
        # A download ends the navigation that began it.
        if "/export/" not in request.url:
            self.troubles.append(f"failed: {request.url} {request.failure}")

    def go(self, path: str) -> None:
        self.page.goto(self.base + path)

    def text(self) -> str:
        return str(self.page.inner_text("main"))


@pytest.fixture(scope="module")
def console(planted: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    from pipeline.console import ConsoleSettings, create_app

    lake = shutil.copytree(planted.lake, tmp_path_factory.mktemp("browser") / "lake")
    app = create_app(ConsoleSettings(lake=lake, children=2))
    with browsing.listening_console(app) as base:
        yield app.console, base


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        # The sandbox of Chromium does not work for root; pages here are our own.
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def sit(browser: Any, console: tuple[Any, str]) -> Iterator[Callable[..., Desk]]:
    """Somebody logs in with their token, at a window of some width."""
    running, base = console
    contexts: list[Any] = []
    states: dict[str, Any] = {}

    def begin(name: str, role: str, *, width: int = 1440, scheme: str = "light", **more: Any) -> Desk:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            accept_downloads=True,
            storage_state=states.get(name),
            **more,
        )
        contexts.append(context)
        desk = Desk(context.new_page(), base)
        if name not in states:
            token = running.users.add(name, role)
            desk.page.goto(base + "/login")
            desk.page.fill("#token", token)
            desk.page.keyboard.press("Enter")
            desk.page.wait_for_url("**/queue*")
            states[name] = context.storage_state()
        return desk

    yield begin
    for each in contexts:
        each.close()


@pytest.fixture
def ana(sit: Callable[..., Desk]) -> Iterator[Desk]:
    desk = sit("ana", "investigator")
    yield desk
    assert desk.troubles == []


@pytest.fixture
def ben(sit: Callable[..., Desk]) -> Iterator[Desk]:
    desk = sit("ben", "approver")
    yield desk
    assert desk.troubles == []


def test_the_hydra_is_found_from_the_queue(ana: Desk, planted: Any) -> None:
    ana.go("/queue")
    ana.page.get_by_role("radio", name="cluster").check()
    ana.page.wait_for_url("**subject_kind=cluster**")
    link = ana.page.get_by_role("link", name=re.compile(planted.cluster[:12]))
    link.first.click()
    ana.page.wait_for_url("**/cluster?id=**")
    assert "6 accounts with" in ana.text()


def test_why_it_was_flagged_is_read(ana: Desk, planted: Any) -> None:
    ana.go(f"/account?id={planted.alerted}")
    said = ana.text()
    assert "Why it was flagged" in said
    assert "higher than" in said
    assert ana.page.locator("table.bars").first.locator("tr").count() > 5
    ana.page.wait_for_selector("[data-chart=timeline][data-drawn] canvas")
    # What lies below is fetched when it comes into sight.
    ana.page.locator("#title-networks").scroll_into_view_if_needed()
    ana.page.wait_for_selector("#part-networks:not(.later)")
    assert ana.page.locator("#part-networks table tbody tr").count() > 0


def test_the_graph_opens_and_leads_to_a_member(ana: Desk, planted: Any) -> None:
    ana.go(f"/cluster?id={planted.cluster}")
    ana.page.wait_for_selector("[data-graph][data-drawn] canvas")
    painted = ana.page.evaluate(
        "[...document.querySelectorAll('.net canvas')].some((c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v))"
    )
    assert painted
    ana.page.locator("section", has=ana.page.locator("#members")).get_by_role(
        "link", name=re.compile("^acct")
    ).first.click()
    ana.page.wait_for_url("**/account?id=**")
    assert "alert on its cluster" in " ".join(ana.text().split()) or "Why it was flagged" in ana.text()


def test_a_playbook_runs_from_its_form(ana: Desk, planted: Any) -> None:
    ana.go("/playbooks?name=who_shares_networks_or_payment")
    ana.page.get_by_label("account id needed").fill(min(planted.hydra))
    ana.page.get_by_role("button", name="Run").click()
    ana.page.wait_for_url("**run=1**")
    ana.page.wait_for_selector("#results table")
    assert any(name in ana.page.content() for name in planted.hydra - {min(planted.hydra)})


def test_records_of_a_region_are_listed(ana: Desk, planted: Any) -> None:
    ana.go(f"/account/prompts?id={planted.alerted}")
    ana.page.wait_for_selector("[data-chart=projection][data-drawn] canvas")
    box = ana.page.locator(".plot").bounding_box()
    ana.page.evaluate(
        "echarts.getInstanceByDom(document.querySelector('.plot')).dispatchAction({type: 'takeGlobalCursor', key: 'brush', brushOption: {brushType: 'rect'}})"
    )
    ana.page.mouse.move(box["x"] + 80, box["y"] + 80)
    ana.page.mouse.down()
    ana.page.mouse.move(box["x"] + box["width"] - 60, box["y"] + box["height"] - 60, steps=6)
    ana.page.mouse.up()
    ana.page.wait_for_url("**region=**")
    assert "in the region" in ana.page.inner_text("#results")


def test_windows_lead_to_their_records(ana: Desk, planted: Any) -> None:
    ana.go(f"/account?id={planted.alerted}")
    ana.page.locator("section", has=ana.page.locator("#timeline")).locator("summary").click()
    ana.page.locator("section", has=ana.page.locator("#timeline")).locator("tbody a").first.click()
    ana.page.wait_for_url("**/account/records?**")
    assert re.search(r"\d+ records? from", ana.text())


def test_sql_runs_by_keyboard_and_its_address_is_kept(ana: Desk) -> None:
    ana.go("/sql")
    ana.page.fill("#q-sql", "select count(*) * 1000 + 7 as found from account_scores")
    ana.page.keyboard.press("Control+Enter")
    ana.page.wait_for_selector("#results td")
    assert "120,007" in ana.page.inner_text("#results")
    assert "run=1" in ana.page.url
    ana.page.reload()
    assert "120,007" in ana.page.inner_text("#results")


def test_a_verdict_takes_a_note_a_proposal_and_another_persons_approval(
    ana: Desk, ben: Desk, planted: Any, console: tuple[Any, str]
) -> None:
    ana.go(f"/cluster?id={planted.cluster}")
    ana.page.get_by_role("button", name="Open a case").click()
    ana.page.wait_for_url("**/case?id=**")
    address = ana.page.url.removeprefix(ana.base)
    ana.page.get_by_label("What you found").fill("Six accounts, one list: no prompt in common.")
    ana.page.get_by_role("button", name="Add the note").click()
    ana.page.wait_for_load_state()
    assert "Six accounts, one list" in ana.text()
    ana.page.get_by_role("radio", name="attack").check()
    ana.page.get_by_label("Reason").fill("a list, shared out over six accounts")
    ana.page.get_by_role("button", name="Send").click()
    ana.page.wait_for_selector(".decide")
    assert "another approver looks at it" in ana.text()
    assert ana.page.get_by_role("button", name="Approve").count() == 0

    ben.go("/cases")
    ben.page.locator(".waiting").get_by_role("link", name=re.compile("^Case")).first.click()
    ben.page.wait_for_url("**/case?id=**")
    ben.page.get_by_role("button", name="Approve").click()
    ben.page.wait_for_load_state()
    # The lake has another manifest now; a console looks for one every two seconds.
    ben.page.wait_for_timeout(2100)
    ben.go(address)
    assert "attack stands" in " ".join(ben.text().split())


def test_the_case_file_is_exported(ana: Desk, planted: Any) -> None:
    pytest.importorskip("matplotlib")
    ana.go(f"/cluster?id={planted.cluster}")
    with ana.page.expect_download(timeout=60_000) as waiting:
        ana.page.get_by_role("link", name="Case file").click()
    path = waiting.value.path()
    assert waiting.value.suggested_filename == f"case-{planted.cluster}.html"
    assert planted.cluster in Path(path).read_text(encoding="utf-8")


def pages(planted: Any) -> dict[str, str]:
    return {
        "queue": "/queue?decision=&subject_kind=account&min_records=50&page=2",
        "account": f"/account?id={planted.alerted}",
        "records": f"/account/records?id={planted.alerted}&until=2026-01-09",
        "prompts": f"/account/prompts?id={planted.alerted}&region=-0.1,-0.1,0.1,0.1",
        "coverage": f"/account/coverage?id={planted.alerted}",
        "compare": f"/account/compare?id={planted.alerted}",
        "cluster": f"/cluster?id={planted.cluster}",
        "classes": "/classes",
        "playbooks": "/playbooks",
        "playbook": f"/playbooks?name=account_summary&p.account_id={planted.alerted}&run=1",
        "sql": "/sql?q=select+1+as+one&run=1",
        "cases": "/cases",
        "case": "/case?id=1",
        "allowed": "/allowed",
        "audit": "/audit?check=1",
    }


NAMES = ("queue", "account", "records", "prompts", "coverage", "compare", "cluster", "classes", "playbooks", "playbook", "sql", "cases", "case", "allowed", "audit")  # fmt: skip


def serious(desk: Desk) -> list[str]:
    """What axe finds that keeps somebody out."""
    found = axe_api.Axe().run(desk.page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:160]} {each['nodes'][0]['failureSummary'][:200]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


def said(desk: Desk) -> str:
    """What stands in a page, without how long its questions took and under which hash they were recorded."""
    return re.sub(r"[\d,]+ ms|Recorded as \S+", "", desk.text())


@pytest.fixture(scope="module")
def desks(sit: Callable[..., Desk], console: tuple[Any, str], planted: Any) -> dict[str, Desk]:
    running, _ = console
    found = {
        "wide": sit("ben", "approver"),
        "narrow": sit("ben", "approver", width=390, scheme="dark"),
        # 1,440 pixels at 200 %, in the colours that the system sets for those who need contrast.
        "zoomed": sit("ben", "approver", width=720, forced_colors="active", device_scale_factor=2),
    }
    running.cases.open("cluster", planted.cluster, "", "ben")
    return found


# The gate looks at those that people spend their day with; `make slow` at all.
DAILY = {"queue", "account", "cluster", "case"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in DAILY else [pytest.mark.slow]) for name in NAMES]
)
def test_every_page_is_fit_for_everybody_wide_and_narrow_light_and_dark(
    desks: dict[str, Desk], planted: Any, name: str
) -> None:
    """No serious violation that axe finds at either width, nothing wider than the window, also at 200 % and in high contrast."""
    for kind, desk in desks.items():
        desk.go(pages(planted)[name])
        width = desk.page.evaluate("document.documentElement.scrollWidth")
        assert width <= desk.page.viewport_size["width"]
        if kind != "zoomed":
            assert serious(desk) == [], kind
    for desk in desks.values():
        assert desk.troubles == []


@pytest.mark.parametrize(
    "name",
    [
        *("queue", "records", "playbook"),
        *(pytest.param(name, marks=[pytest.mark.slow]) for name in ("prompts", "compare", "sql")),
    ],
)
def test_an_address_shows_the_same_again(desks: dict[str, Desk], planted: Any, name: str) -> None:
    wide = desks["wide"]
    wide.go(pages(planted)[name])
    before = said(wide), wide.page.url
    wide.page.reload()
    assert (said(wide), wide.page.url) == before
    for desk in desks.values():
        assert desk.troubles == []


def test_the_door_is_fit_for_everybody(browser: Any, console: tuple[Any, str]) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800})
    desk = Desk(context.new_page(), console[1])
    desk.go("/login")
    assert serious(desk) == []
    assert desk.troubles == []
    context.close()


def test_it_is_used_by_keyboard_alone(ana: Desk, planted: Any) -> None:
    ana.go("/cases")
    ana.page.keyboard.press("/")
    ana.page.keyboard.type(planted.cluster)
    ana.page.keyboard.press("Enter")
    ana.page.wait_for_url("**/cluster?id=**")
    ana.page.keyboard.press("Tab")
    assert ana.page.evaluate("document.activeElement.className") == "skip"
    ana.page.keyboard.press("Enter")
    ana.page.keyboard.press("Tab")
    assert ana.page.evaluate("document.getElementById('main').contains(document.activeElement)")
    for _ in range(30):
        ana.page.keyboard.press("Tab")
        if ana.page.evaluate("document.activeElement.matches('td a')"):
            break
    ana.page.keyboard.press("Enter")
    ana.page.wait_for_url("**/account?id=**")


def reach(desk: Desk, selector: str, most: int = 120) -> None:
    """Press Tab until what is wanted has the focus; whatever had it on the way was seen to have it."""
    for _ in range(most):
        desk.page.keyboard.press("Tab")
        found, seen, what = desk.page.evaluate(
            """(wanted) => {
              const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
              const drawn = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
              const inside = box.width > 0 && box.bottom > 0 && box.top < innerHeight;
              return [at.matches(wanted), at === document.body || (drawn && inside), at.outerHTML.slice(0, 120)];
            }""",
            selector,
        )
        assert seen, f"has the focus and does not show it: {what}"
        if found:
            return
    pytest.fail(f"{selector} is not reached by {most} times Tab")


def test_from_the_queue_to_a_verdict_without_a_mouse(ana: Desk) -> None:
    ana.go("/queue?subject_kind=account")
    reach(ana, "#results td a[href^='/account']")
    ana.page.keyboard.press("Enter")
    ana.page.wait_for_url("**/account?id=**")
    reach(ana, "form[action='/case/open'] button")
    ana.page.keyboard.press("Enter")
    ana.page.wait_for_url("**/case?id=**")
    reach(ana, "input[name=verdict]")
    # The arrows choose among the verdicts.
    ana.page.keyboard.press("ArrowDown")
    assert ana.page.locator("input[name=verdict]:checked").get_attribute("value") == "benign"
    reach(ana, "textarea[name=reason]")
    ana.page.keyboard.type("they run an evaluation, and said so")
    reach(ana, "form.propose button")
    ana.page.keyboard.press("Enter")
    ana.page.locator(".story", has_text="they run an evaluation, and said so").wait_for()


def test_without_scripts_it_reads_narrows_and_decides(sit: Callable[..., Desk], planted: Any) -> None:
    desk = sit("ben", "approver", java_script_enabled=False)
    desk.go("/queue")
    desk.page.get_by_role("radio", name="cluster").check()
    desk.page.get_by_role("button", name="Show").click()
    desk.page.wait_for_url("**subject_kind=cluster**")
    desk.page.get_by_role("link", name=re.compile(planted.cluster[:12])).first.click()
    desk.page.wait_for_url("**/cluster?id=**")
    # What the graph draws is in a table below it.
    assert desk.page.locator("section", has=desk.page.locator("#ties")).locator("tbody tr").count() > 0
    desk.go(f"/account?id={planted.alerted}")
    desk.page.get_by_role("link", name="Show networks").click()
    desk.page.wait_for_url("**/account/part?**")
    assert desk.page.locator("#part-networks tbody tr").count() > 0
    desk.go("/sql")
    desk.page.fill("#q-sql", "select count(*) * 1000 + 7 as found from account_scores")
    desk.page.get_by_role("button", name="Run").click()
    assert "120,007" in desk.page.inner_text("#results")
    desk.go("/audit?who=ben")
    assert "account_scores" in desk.page.inner_text("#results")
    assert desk.troubles == []
