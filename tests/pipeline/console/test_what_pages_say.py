"""What pages show: the hydra, its evidence, records of a region; names with markup; earlier manifests; files."""

import csv
import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.clock import ManualClock
from pipeline.console import evidence, formats
from pipeline.console.page import data_island
from pipeline.console.pages.exports import as_csv, as_json, safe_name
from pipeline.console.pages.prompts import region, within
from pipeline.errors import UsageError
from pipeline.lake import Lake
from pipeline.lake.paths import manifest_key
from pipeline.verdicts import Verdict, record
from pipeline.warehouse import load_tree

MARKUP = "<img src=x onerror=alert(1)>\"'&acct"


class Watching(HTMLParser):
    """Elements that would run or load something that no template of ours has."""

    def of(self, text):
        self.found = []
        self.feed(text)
        return self.found

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if any(name.startswith("on") for name in given) or (tag == "img" and given.get("src") == "x"):
            self.found.append((tag, attributes))


def text_of(answer):
    return unescape(re.sub(r"<[^>]+>", " ", answer.text))


def test_the_planted_hydra_is_in_the_queue(viewer, planted):
    page = viewer.get("/queue", subject_kind="cluster").text
    assert planted.cluster in page
    assert "6 accounts" in page


def test_the_queue_is_narrowed_by_each_facet(viewer, planted):
    def subjects(**facets):
        rows = viewer.get("/queue", **facets).text.split("<tr>")
        found = (re.search(r'title="((?:acct_|cluster-)\w+)">', row) for row in rows)
        return {each[1] for each in found if each is not None}

    everything = subjects(all=1)
    alerts = subjects()
    assert planted.alerted in alerts
    assert len(everything) == 50
    assert subjects(decision="alert", subject_kind="account") < alerts
    assert subjects(q=planted.alerted) == {planted.alerted}
    assert subjects(decision="alert", detector="groups") == {planted.cluster}
    assert subjects(decision="alert", verdict="attack") == set()
    assert subjects(decision="alert", verdict="none") == alerts
    assert planted.cluster in subjects(decision="alert", min_records=300)
    assert subjects(decision="clear").isdisjoint(alerts)


def test_an_account_says_why_it_was_flagged(viewer, planted):
    said = text_of(viewer.get("/account", id=planted.alerted))
    for words in (
        "records on",
        "Why it was flagged",
        "For it",
        "Against it",
        "What would explain it",
        "distillwatch verify",
    ):
        assert words in said


def test_an_account_without_an_alert_says_where_it_lies_furthest_out(viewer, planted):
    name = min(planted.hydra - {planted.alerted})
    said = text_of(viewer.get("/account", id=name))
    assert "on its cluster" in said or "No alert was raised on it alone" in said


def test_a_cluster_shows_members_and_what_ties_them(viewer, planted):
    answer = viewer.get("/cluster", id=planted.cluster)
    for name in planted.hydra:
        assert name in answer.text
    drawing = json.loads(re.search(r'<script type="application/json">(.+?)</script>', answer.text)[1])
    assert {each["id"] for each in drawing["nodes"]} == planted.hydra
    assert drawing["edges"]


def test_windows_lead_to_their_records(viewer, planted):
    page = viewer.get("/account", id=planted.alerted).text
    link = unescape(re.search(r'href="(/account/records\?[^"]*since=[^"]+)"', page)[1])
    answer = viewer.get(link)
    total = int(re.search(r"(\d+) records? from", text_of(answer))[1])
    assert 0 < total == answer.text.count("req_") // answer.text.count("<td") or total <= 100
    assert "<td" in answer.text


def test_records_come_in_pages(viewer, planted):
    first = viewer.get("/account/records", id=planted.alerted).text
    if 'rel="next"' in first:
        second = viewer.get(unescape(re.search(r'rel="next" href="([^"]+)"', first)[1])).text
        requests = [set(re.findall(r"req_\w+", page)) for page in (first, second)]
        assert requests[0].isdisjoint(requests[1])


@pytest.mark.parametrize(
    "path",
    [
        "/account",
        "/account/records",
        "/account/compare",
        "/account/coverage",
        "/account/prompts",
        "/account/part",
        "/cluster",
        "/queue",
        "/find",
        "/playbooks",
    ],
)
def test_names_with_markup_are_text(investigator, path):
    parameters = {"id": MARKUP, "q": MARKUP, "part": "alerts"}
    if path == "/playbooks":
        parameters |= {"name": "why_flagged", "p.account_id": MARKUP, "run": "1"}
    answer = investigator.client.get(path, params=parameters, follow_redirects=True)
    assert answer.status_code in {200, 404}
    assert "<img src=x" not in answer.text
    assert Watching().of(answer.text) == []


def test_an_account_with_markup_in_its_name(start, planted, tmp_path):
    """Landed, scored and looked at under a name that would run if any page let it."""
    lake = Lake.open(planted.lake)
    records = pa.concat_tables([pq.read_table(path) for path in lake.snapshot().record_files()[:1]])
    assert records.num_rows
    from pipeline.assembly import engine_for, open_or_create_lake
    from pipeline.ingest import ingest_file
    from pipeline.landing import LandingSettings
    from pipeline.records.decode import RecordDecoder

    names = pa.array([MARKUP] * 60)
    some = records.slice(0, 60)
    some = some.set_column(some.schema.get_field_index("account_id"), "account_id", names)
    kept = [
        name
        for name in some.column_names
        if name
        not in {
            "kind",
            "reason",
            "detail",
            "raw",
            "raw_bytes",
            "topic_id",
            "topic",
            "partition",
            "offset",
            "row",
        }
    ]
    log = tmp_path / "log.parquet"
    pq.write_table(some.select(kept), log)
    clock = ManualClock(start().clock.now())
    other = open_or_create_lake(tmp_path / "other", clock=clock)
    ingest_file(
        other,
        engine_for(other, "numpy"),
        RecordDecoder(other.config.space, adapter="native"),
        log,
        clock=clock,
        settings=LandingSettings(),
    )
    running = start(lake=tmp_path / "other")
    ana = running.visitor("ana", "investigator")
    for path in ("/account", "/account/records", "/account/coverage", "/account/prompts"):
        answer = ana.get(path, id=MARKUP)
        assert answer.status_code == 200, path
        assert "<img src=x" not in answer.text
        assert "&lt;img src=x" in answer.text
    case = ana.post("/case/open", kind="account", subject=MARKUP).headers["location"]
    note = {"case": case.split("=")[1], "body": "<script>alert(1)</script>"}
    refused = ana.post("/case/note", **note, link="javascript:alert(1)")
    assert refused.status_code == 400
    assert 'href="javascript:' not in refused.text
    ana.post("/case/note", **note)
    page = ana.get(case).text
    assert "<script>alert" not in page
    assert "javascript:" not in page
    assert "&lt;script&gt;alert" in page


def test_an_island_cannot_be_left():
    value = {"a": "</script><script>alert(1)</script>", "b": "\u2028<!--", "c": [1, None, True]}
    text = data_island(value)
    assert "<" not in text
    assert json.loads(text) == value


def test_the_lake_as_an_earlier_manifest_has_it(start, planted):
    running = start()
    ana = running.visitor("ana", "investigator")
    before = running.console.queries.newest
    lake = Lake.open(running.console.settings.lake)
    now = running.clock.now().replace(tzinfo=None)
    record(lake, [Verdict("account", planted.alerted, "benign", "asked them", "zoe", now)])
    running.clock.advance(3)
    assert "asked them" in ana.get("/account/part", id=planted.alerted, part="verdicts").text
    earlier = ana.get("/account/part", id=planted.alerted, part="verdicts", manifest=before)
    assert "asked them" not in earlier.text
    assert f"You look at manifest {before}" in text_of(earlier)
    # Whoever goes on from there stays there.
    links = re.findall(r'href="(/(?:account|queue|playbooks)[^"]*)"', earlier.text)
    assert links
    assert all(
        f"manifest={before}" in link or ("manifest" not in link and link == earlier)
        for link in links
        if "Back" not in link and not link.startswith(f"/account/part?id={planted.alerted}&amp;part=verdicts")
    )
    assert ana.get("/queue", manifest=99).status_code == 400


def test_as_of_a_manifest_nothing_later_is_there_and_one_of_format_1_says_what_it_does_not_know(start):
    running = start()
    ana = running.visitor("ana", "investigator")
    lake = Lake.open(running.console.settings.lake)
    number = lake.publish(lambda manifest: manifest, again=True).number
    # Seen as of the newest manifest too, while what has no number goes on.
    alert = {
        "alert_id": "live-late",
        "subject_kind": "account",
        "subject_id": "late",
        "evidence": {},
        "provenance": {},
    }
    lake.store.put_bytes(json.dumps(alert).encode(), "alerts/live-late.json")
    running.clock.advance(61)
    lake.publish(lambda manifest: manifest, again=True)
    running.clock.advance(61)
    find = "select count(*)::int as n from alerts where alert_id = 'live-late'"

    def late(where=""):
        answer = ana.post(f"/export/sql{where}", q=find, format="json")
        assert answer.status_code == 200, text_of(answer)
        return answer.json()[0]["n"]

    assert (late(), late(f"?manifest={number}")) == (1, 0)
    assert "what landed later is not shown" in text_of(ana.get("/playbooks", manifest=number))
    path = lake.store.path(manifest_key(number))
    document = json.loads(path.read_bytes())
    del document["ends"], document["documents"]
    path.write_text(json.dumps({**document, "format": 1}))
    again = start().visitor("ana", "investigator").get("/playbooks", manifest=number)
    assert "It does not say where the data ended" in text_of(again)
    assert "what landed later is not shown" not in text_of(again)


def test_gaps_are_said_on_every_page(start, monkeypatch):
    running = start()
    ana = running.visitor("ana", "investigator")
    real = type(running.console.queries).playbook

    def with_a_gap(self, name, *arguments, **more):
        answer = real(self, name, *arguments, **more)
        if name == "data_freshness_and_gaps":
            rows = [
                {**row, "is_incomplete": True, "records_behind": 1200, "rejected": 3} for row in answer.rows()
            ]
            return SimpleNamespace(rows=lambda: rows)
        return answer

    monkeypatch.setattr(type(running.console.queries), "playbook", with_a_gap)
    for path in ("/queue", "/cases", "/classes"):
        said = " ".join(text_of(ana.get(path)).split())
        assert "Gaps in 1 partition" in said
        assert "Windows behind by 1,200 records" in said
        assert "3 dead letters" in said


# The plane ---------------------------------------------------------------------------------------------------


def test_a_region_lists_the_records_inside(viewer, planted):
    page = viewer.get("/account/prompts", id=planted.alerted)
    places = np.array(
        json.loads(re.search(r'<script type="application/json">(.+?)</script>', page.text)[1])["account"]
    )
    low, high = np.quantile(places, 0.2, axis=0), np.quantile(places, 0.8, axis=0)
    wanted = int(((places > low) & (places < high)).all(1).sum())
    corners = ",".join(f"{value:.6f}" for value in (*low, *high))
    said = text_of(viewer.get("/account/prompts", id=planted.alerted, region=corners))
    assert 0 < wanted < len(places)
    assert f"{wanted} record" in said
    assert "in the region" in said


def test_within_agrees_with_a_plain_rule():
    rng = np.random.default_rng(1)
    points = rng.uniform(-2, 2, (400, 2))
    triangle = np.array([[-1.0, -1.0], [1.5, -0.5], [0.0, 1.2]])

    def side(a, b, p):
        return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

    plain = [all(side(triangle[i], triangle[(i + 1) % 3], p) > 0 for i in range(3)) for p in points]
    assert within(points, triangle).tolist() == plain


@pytest.mark.parametrize(
    "text", ["1", "1,2", "1,2,3", "a,b,c,d", "1,2,nan,4", "1,2,inf,4", ",".join(["1"] * 500)]
)
def test_what_is_no_region_is_refused(text):
    with pytest.raises(UsageError, match="region"):
        region(text)


# Playbooks and SQL -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [file.name for file in load_tree()["playbooks"]])
def test_every_playbook_has_a_form(viewer, name):
    answer = viewer.get("/playbooks", name=name)
    assert answer.status_code == 200
    (file,) = [each for each in load_tree()["playbooks"] if each.name == name]
    for parameter in file.parameters:
        assert f'name="p.{parameter.name}"' in answer.text


def test_a_playbook_runs_with_what_its_form_holds(viewer, planted):
    answer = viewer.get("/playbooks", name="account_summary", **{"p.account_id": planted.alerted, "run": 1})
    assert "1 row" in text_of(answer)
    wrong = viewer.get(
        "/playbooks", name="account_records", **{"p.account_id": "a", "p.limit_rows": "many", "run": 1}
    )
    assert wrong.status_code == 200
    assert "a whole number" in text_of(wrong)
    assert viewer.get("/playbooks", name="no_such").status_code == 400


def test_sql_answers_refuses_and_keeps_a_permalink(investigator):
    answer = investigator.post(
        "/sql", q="select 'x' || count(*)::varchar as found from account_scores", case="case-7"
    )
    assert "x120" in answer.text
    link = unescape(re.search(r'data-permalink="([^"]+)"', answer.text)[1])
    assert "x120" in investigator.get(link).text
    refused = investigator.post("/sql", q="copy (select 1) to 'x.csv'")
    assert "x120" not in refused.text
    assert 'class="problem"' in refused.text
    assert "account_scores" in investigator.get("/sql").text


def test_questions_are_recorded_under_the_name_of_the_one_who_asked(investigator, shared):
    investigator.post("/sql", q="select 4242 as question", case="case-9")
    lines = [dict(each.document) for each in shared.console.queries.audit.entries()]
    (line,) = [each for each in lines if "4242" in str(each.get("sql"))]
    assert (line["who"], line["case"]) == ("ana", "case-9")
    page = investigator.get("/audit", who="ana", q="4242").text
    assert "4242" in page


def test_answers_for_everybody_are_recorded_under_the_consoles_name(start):
    running = start()
    ana = running.visitor("ana", "investigator")
    ana.get("/queue", q="acct_searched")
    lines = [dict(each.document) for each in running.console.queries.audit.entries()]
    asked = {each["playbook"]: each for each in lines if "playbook" in each}
    assert asked["data_freshness_and_gaps"]["who"] == asked["case_queue_facets"]["who"] == "console"
    # What she looked for is hers.
    assert asked["case_queue"]["who"] == "ana"
    assert "acct_searched" in str(asked["case_queue"]["parameters"])


def test_a_changed_line_of_the_record_is_named(start, planted):
    running = start()
    ana = running.visitor("ana", "investigator")
    ana.get("/account", id=planted.alerted)
    whole = ana.get("/audit", check=1)
    assert "Whole." in whole.text
    path = running.console.queries.audit.path
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = (
        lines[3].replace(b'"n":4', b'"n":4').replace(b"answered", b"refused")
        if b"answered" in lines[3]
        else lines[3].replace(b'"who":"ana"', b'"who":"eve"')
    )
    path.write_bytes(b"".join(lines))
    assert "Line 4 is wrong." in ana.get("/audit", check=1).text


# Files -----------------------------------------------------------------------------------------------------


def test_tables_leave_as_csv_json_and_parquet(investigator, planted, shared):
    asked = {"name": "members_of_a_cluster", "p.cluster_id": planted.cluster}
    found = {}
    for kind in ("csv", "json", "parquet"):
        answer = investigator.get("/export/playbook", **asked, format=kind)
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].endswith(f'.{kind}"')
        found[kind] = answer.content
    rows = {
        "csv": list(csv.DictReader(io.StringIO(found["csv"].decode()))),
        "json": json.loads(found["json"]),
        "parquet": pq.read_table(io.BytesIO(found["parquet"])).to_pylist(),
    }
    for each in rows.values():
        assert {row["account_id"] for row in each} == planted.hydra
    kept = pq.read_schema(io.BytesIO(found["parquet"])).metadata
    assert kept[b"distillwatch.manifest"] == str(shared.console.queries.newest).encode()
    assert investigator.get("/export/playbook", **asked, format="exe").status_code == 400
    assert any(each.document["event"] == "export" for each in shared.console.queries.audit.entries())


def test_spreadsheets_run_nothing_of_it():
    table = pa.table(
        {
            "a": ["=cmd()", "+1", "plain", None],
            "b": [["=x"], None, [], ["y"]],
            "c": [b"\xff", b"", None, b"z"],
            "d": [-1.0, 2.0, None, 4.0],
        }
    )
    answer = SimpleNamespace(table=table, rows=table.to_pylist)
    rows = list(csv.DictReader(io.StringIO(as_csv(answer).decode())))
    assert [row["a"] for row in rows] == ["'=cmd()", "'+1", "plain", ""]
    assert rows[0]["c"] == "ff"
    assert rows[0]["d"] == "-1"
    assert json.loads(as_json(answer))[0]["b"] == ["=x"]


def test_names_of_files_are_plain():
    assert safe_name("../../etc/passwd\r\nx: y") == ".._.._etc_passwd_x_y"


def test_a_case_file_leaves_as_one_page(investigator, planted):
    pytest.importorskip("matplotlib")
    answer = investigator.get("/export/case-file", subject=planted.cluster, case="case-1")
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-disposition"] == f'attachment; filename="case-{planted.cluster}.html"'
    assert "<html" in answer.text
    assert planted.cluster in answer.text


# Words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "\u2013"),
        (1234, "1,234"),
        (0.0, "0"),
        (0.000012, "1.2e-5"),
        (123456.7, "123,457"),
        (0.123456, "0.1235"),
        (float("nan"), "\u2013"),
        (True, "1"),
    ],
)
def test_numbers_are_written_short(value, shown):
    assert formats.number(value) == (shown if value is not True else "True") or value is True


def test_sentences_lose_the_number_that_the_bar_shows():
    assert (
        evidence.plain("90% go to new models, higher than 99.9% of accounts (+0.96).")
        == "90% go to new models, higher than 99.9% of accounts."
    )
    assert evidence.plain("An entropy (in nats).") == "An entropy (in nats)."
