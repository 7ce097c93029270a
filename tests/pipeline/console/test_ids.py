"""Ids as the lake has them: with blanks at their ends, in any script, called null; and ids that nobody has."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import ManualClock
from pipeline.console.pages.exports import attachment
from pipeline.ingest import ingest_file
from pipeline.lake import Lake
from pipeline.landing import LandingSettings
from pipeline.records.decode import RecordDecoder
from pipeline.verdicts import read_verdicts

if TYPE_CHECKING:
    from pathlib import Path

SPACED, NAMED = "  spaced  ", "名前"
IDS = (SPACED, NAMED, "null", "plain")
LANDED = ("kind", "reason", "detail", "raw", "raw_bytes", "topic_id", "topic", "partition", "offset", "row")
PAGES = ("/account", "/account/records", "/account/prompts", "/account/coverage", "/account/compare")


@pytest.fixture(scope="module")
def odd(planted: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose accounts are called like that; tests work on what they open in it, not on each other's."""
    folder = tmp_path_factory.mktemp("odd")
    some = pq.read_table(Lake.open(planted.lake).snapshot().record_files()[0]).slice(0, 60)
    names = pa.array([IDS[number % len(IDS)] for number in range(60)])
    some = some.set_column(some.schema.get_field_index("account_id"), "account_id", names)
    models = pa.array([f"{name} " for name in some["model"].to_pylist()])
    some = some.set_column(some.schema.get_field_index("model"), "model", models)
    log = folder / "log.parquet"
    pq.write_table(some.select([name for name in some.column_names if name not in LANDED]), log)
    clock = ManualClock(some["event_time"][0].as_py())
    lake = open_or_create_lake(folder / "lake", clock=clock)
    decoder = RecordDecoder(lake.config.space, adapter="native")
    ingest_file(
        lake, engine_for(lake, "numpy"), decoder, log, clock=clock, settings=LandingSettings()
    )  # fmt: skip
    return folder / "lake"


def alert(answer: Any) -> str:
    found = re.search(r'role="alert">([^<]+)', answer.text)
    assert found is not None
    return unescape(found[1])


@pytest.mark.parametrize("name", IDS)
def test_every_page_of_an_account_answers_by_its_whole_id(start: Any, odd: Path, name: str) -> None:
    running = start(lake=odd)
    ben = running.visitor(f"ben-{IDS.index(name)}", "approver")
    for path in PAGES:
        answer = ben.get(path, id=name)
        assert answer.status_code == 200, path
        assert f'<h1 class="id">{name}</h1>' in answer.text, path
        for link in re.findall(r'href="(/account[^"]*)"', answer.text):
            assert ben.get(unescape(link)).status_code == 200, link
    section = ben.get("/account/part", id=name, part="parameters")
    assert section.status_code == 200
    assert "<table" in section.text
    asked = {"name": "account_timeline", "p.account_id": name, "run": 1}
    assert "<table" in ben.get("/playbooks", **asked).text
    rows = ben.get("/export/playbook", **{**asked, "format": "json"}).json()
    assert rows
    assert {row["account_id"] for row in rows if "account_id" in row} <= {name}
    assert f'value="{name}"' in ben.get("/allowed", id=name).text
    case = ben.post("/case/open", kind="account", subject=name).headers["location"]
    assert ben.get("/account", id=name).text.count(case) >= 1
    back = re.search(r'account <a class="id" href="([^"]+)"', ben.get(case).text)
    assert back is not None
    assert ben.get(unescape(back[1])).status_code == 200
    number = case.split("=")[1]
    assert ben.post("/case/propose", case=number, verdict="benign", reason="asked").status_code == 303
    assert name in {each.subject_id for each in read_verdicts(Lake.open(odd).snapshot())}


def test_links_to_records_by_a_value_with_a_blank_find_them(start: Any, odd: Path) -> None:
    running = start(lake=odd)
    vera = running.visitor("vera", "viewer")
    page = vera.get("/account/records", id="plain").text
    link = unescape(next(each for each in re.findall(r'href="(/account/records\?[^"]+)"', page) if "model=" in each))  # fmt: skip
    assert re.search(r"[1-9]\d* records?", re.sub(r"<[^>]+>", " ", vera.get(link).text))
    assert "No record fits" not in vera.get(link).text


def test_searching_by_hand_takes_blanks_for_a_part_of_the_id_or_for_none(start: Any, odd: Path) -> None:
    running = start(lake=odd)
    vera, kim = running.visitor("vera-2", "viewer"), running.visitor("kim", "approver")
    for typed, path in (
        (SPACED, "/account?id=++spaced++"),
        ("plain", "/account?id=plain"),
        (" plain ", "/account?id=plain"),
        (" nobody ", "/queue?q=nobody&all=1"),
        ("  ", "/queue"),
    ):
        assert vera.get("/find", q=typed).headers["location"] == path, typed
    for typed, name in ((SPACED, SPACED), (" null ", "null")):
        allowed = kim.post("/allowed/add", subject=typed, reason="known", expires="2027-01-01")
        assert allowed.status_code == 303, alert(allowed)
        rows = read_verdicts(Lake.open(odd).snapshot())
        assert name in {each.subject_id for each in rows if each.verdict == "allowed"}
        assert {each.subject_id for each in rows} <= set(IDS)


@pytest.mark.parametrize("name", ["nosuch", "spaced", " plain"])
def test_an_account_that_nobody_has_is_404_on_every_page(start: Any, odd: Path, name: str) -> None:
    vera = start(lake=odd).visitor(f"vera{len(name)}-{name.strip()}", "viewer")
    for path in (*PAGES, "/account/part"):
        answer = vera.get(path, id=name, part="alerts")
        assert answer.status_code == 404, path
        assert f"Nothing of an account {name!r} has landed in this lake." in unescape(answer.text), path
        assert vera.get(path, part="alerts").headers["location"] == "/queue", path
    # A section of a page that is open does not ask again.
    bare = vera.client.get("/account/part", params={"id": name, "part": "alerts"}, headers={"hx-request": "true"})  # fmt: skip
    assert bare.status_code == 200


def test_a_page_beyond_the_last_is_not_a_missing_account(viewer: Any, planted: Any) -> None:
    assert viewer.get("/account/records", id=planted.alerted, page=999).status_code == 200
    assert viewer.get("/account/prompts", id=planted.cluster).status_code == 200
    assert viewer.get("/account/prompts", id=f"{planted.cluster}x").status_code == 404


def test_a_case_is_about_what_the_lake_knows_as_that_kind(start: Any, odd: Path, planted: Any) -> None:
    ana = start(lake=odd).visitor("ana", "investigator")
    refused = ana.post("/case/open", kind="cluster", subject="null")
    assert refused.status_code == 400
    assert alert(refused) == "this lake knows no cluster 'null'"
    whole = start()
    ana = whole.visitor("ana", "investigator")
    refused = ana.post("/case/open", kind="account", subject=planted.cluster)
    assert alert(refused) == f"this lake knows no account {planted.cluster!r}"
    assert ana.post("/case/open", kind="cluster", subject=planted.alerted).status_code == 400
    assert whole.console.cases.every() == []
    assert ana.post("/case/open", kind="cluster", subject=planted.cluster).status_code == 303
    # By the name made of its members it is the same cluster, and the same case.
    found = ana.post("/export/sql", q="select cluster_id, members_hash from cluster_scores", format="json").json()  # fmt: skip
    hashed = next(row["members_hash"] for row in found if row["cluster_id"] == planted.cluster)
    assert ana.post("/case/open", kind="cluster", subject=hashed).headers["location"] == "/case?id=1"


# Names of files --------------------------------------------------------------------------------------------


def names(header: str) -> tuple[str, str | None]:
    """The plain name and the whole one, as a browser reads them."""
    found = re.fullmatch(
        r"attachment; filename=\"([A-Za-z0-9._-]+)\"(?:; filename\*=UTF-8''([A-Za-z0-9._~%-]+))?", header
    )
    assert found is not None, header
    return found[1], None if found[2] is None else unquote(found[2], errors="strict")


def test_files_about_subjects_in_any_script_keep_their_names() -> None:
    assert names(attachment("case-17", "json")) == ("case-17.json", None)
    subjects = ("名前", "名字", "é", "e\u0301", "a b", "a  b", "a_b", "x" * 300, "x" * 299 + "y", "名" * 90, "名" * 91)  # fmt: skip
    given = [names(attachment(f"case-{each}", "html")) for each in subjects]
    assert len({plain for plain, _ in given}) == len(subjects)
    assert len({whole or plain for plain, whole in given}) == len(subjects)
    assert given[0][1] == "case-名前.html"
    for plain, whole in given:
        assert len(plain) <= 100
        assert len((whole or plain).encode()) <= 255


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\x", "a\r\nset-cookie: b", 'a"; x="', "a\u202egnp", "%2e%2e%2f"])  # fmt: skip
def test_names_of_files_name_no_folder_and_no_other_header(name: str) -> None:
    plain, whole = names(attachment(name, "csv"))
    assert whole is not None
    for each in (plain, whole):
        assert not set('/\\\r\n"\u202e') & set(each)


def test_a_case_file_of_a_name_in_another_script_keeps_it(start: Any, odd: Path) -> None:
    pytest.importorskip("matplotlib")
    ana = start(lake=odd).visitor("ana-2", "investigator")
    answer = ana.get("/export/case-file", subject=NAMED)
    assert answer.status_code == 200, answer.text[:500]
    plain, whole = names(answer.headers["content-disposition"])
    assert whole == f"case-{NAMED}.html"
    assert re.fullmatch(r"case-_-[0-9a-f]{8}\.html", plain)
