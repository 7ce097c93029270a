"""The record as the console reads it: from its end, in pages, and as files."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import time
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.console import audit_reading
from pipeline.console.audit_reading import Wanted, excerpt
from pipeline.sandbox import AuditBroken, AuditLog
from pipeline.sandbox.audit import digest

if TYPE_CHECKING:
    from pathlib import Path


def record_of(path: Path, lines: int, seed: int = 1) -> list[dict[str, Any]]:
    """A record in which several ask at once; the hashes are only names here."""
    rng = random.Random(seed)
    open_, written = [], []
    for n in range(1, lines + 1):
        if open_ and rng.random() < 0.5:
            of = open_.pop(rng.randrange(len(open_)))
            outcome = rng.choice(["answered", "answered", "refused", "killed: time"])
            line = {"event": "ended", "of": of, "outcome": outcome, "rows": n, "milliseconds": 1.5}
        elif rng.random() < 0.1:
            line = {"event": "login", "who": rng.choice("ab"), "address": "::1"}
        else:
            line = {
                "event": "asked", "who": rng.choice("abc"), "case": rng.choice([None, "case-1"]),
                "sql": f"select {rng.randrange(50)} -- é" + "x" * rng.randrange(200), "parameters": {}, "manifest": 1,
            }  # fmt: skip
        line |= {"n": n, "at": "2026-01-01T00:00:00.000Z", "hash": f"h{n}"}
        if line["event"] == "asked":
            open_.append(line["hash"])
        written.append(line)
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in written))
    return written


def every_line(written: list[dict[str, Any]], wanted: Wanted) -> list[dict[str, Any]]:
    """The same the slow way."""
    ends = {line["of"]: line for line in written if line["event"] == "ended"}
    rows = [{**line, "end": ends.get(line["hash"])} for line in reversed(written) if line["event"] != "ended"]
    return [row for row in rows if wanted.fits({k: v for k, v in row.items() if k != "end"}, row["end"])]


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(who="a"),
        Wanted(event="login"),
        Wanted(case="case-1", outcome="killed"),
        Wanted(outcome="open"),
        Wanted(text="select 7"),
        Wanted(who="nobody"),
    ],
)
@pytest.mark.parametrize("block", [64, 1 << 18])
def test_pages_together_are_the_whole_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, block: int
) -> None:
    monkeypatch.setattr(audit_reading, "BLOCK", block)
    path = tmp_path / "queries.jsonl"
    written = record_of(path, 700)
    for most, look in ((1000, 10_000), (7, 10_000), (50, 33)):
        found, before = [], None
        for _ in range(1000):
            page = excerpt(path, wanted, most=most, before=before, look=look)
            assert len(page.lines) <= most
            assert page.newest == 700
            found += page.lines
            before = page.before
            if before is None:
                break
        assert found == every_line(written, wanted)


def test_a_page_of_a_long_record_reads_what_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    written = record_of(path, 100_000)
    began = time.process_time()
    page = excerpt(path, Wanted(), most=100)
    middle = excerpt(path, Wanted(), most=100, before=50_000)
    took = time.process_time() - began
    whole = every_line(written, Wanted())
    assert page.lines == whole[:100]
    assert middle.lines == [line for line in whole if line["n"] < 50_000][:100]
    assert page.read + middle.read < 1000
    began = time.process_time()
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
    print(f"CPU: {took:.3f} s for two pages, {time.process_time() - began:.3f} s to read every line")
    # What nobody finds ends all the same, and says where it goes on.
    rare = excerpt(path, Wanted(who="nobody"), most=100)
    assert (rare.lines, rare.read, rare.before) == (
        [],
        audit_reading.MOST_READ,
        100_001 - audit_reading.MOST_READ,
    )


def test_a_line_that_is_being_written_is_left_out_and_one_that_is_none_is_said(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    assert excerpt(path, Wanted(), most=5).newest == 0
    path.write_bytes(b'{"n":1')
    assert excerpt(path, Wanted(), most=5).lines == []
    record_of(path, 10)
    with path.open("ab") as file:
        file.write(b'{"n":11,"event":"asked"')
    assert excerpt(path, Wanted(), most=5).newest == 10
    path.write_bytes(path.read_bytes().replace(b'"n": 9,', b'"n": x,'))
    with pytest.raises(AuditBroken, match="distillwatch audit verify"):
        excerpt(path, Wanted(), most=50)


def test_what_is_seen_leaves_as_a_file_and_that_is_recorded(start: Any, planted: Any) -> None:
    running = start()
    ana, vera = running.visitor("ana", "investigator"), running.visitor("vera", "viewer")
    ana.post("/sql", q="select 4711 as n", case="case-9")
    ana.post("/sql", q="select nothing_there", case="case-9")
    vera.get("/account", id=planted.alerted)
    log: AuditLog = running.console.queries.audit
    kept = ana.get("/audit", case="case-9", outcome="answered", who="ana").text
    assert "select 4711" in kept
    assert "nothing_there" not in kept
    assert (
        "nothing_there"
        in ana.get("/audit", case="case-9", outcome="refused").text
        + ana.get("/audit", case="case-9", outcome="failed").text
    )
    for name in ("ana", "console"):
        assert f'<option value="{name}">' in kept
    # Narrowing stays in the links to the files.
    assert "/export/audit?format=json&amp;who=ana&amp;case=case-9&amp;outcome=answered" in kept
    answer = ana.get("/export/audit", format="json", who="ana", case="case-9")
    document = answer.json()
    assert [each["line"]["sql"] for each in document["lines"]] == ["select nothing_there", "select 4711 as n"]
    # Each line is as it stands in the record: its hash can be computed again.
    for each in document["lines"]:
        assert digest({k: v for k, v in each["line"].items() if k != "hash"}) == each["line"]["hash"]
    rows = list(csv.DictReader(io.StringIO(ana.get("/export/audit", format="csv", case="case-9").text)))
    assert [row["outcome"] for row in rows][-1] == "answered"
    assert vera.get("/export/audit", format="csv").status_code == 403
    assert ana.get("/export/audit", format="exe").status_code == 400
    exports = [dict(each.document) for each in log.entries() if each.document["event"] == "export"]
    assert [(each["what"], each["format"], each["who"]) for each in exports] == [
        ("audit", "json", "ana"),
        ("audit", "csv", "ana"),
    ]


def test_a_case_leaves_with_its_notes_and_verdicts(start: Any, planted: Any) -> None:
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    ana.post("/case/open", kind="account", subject=planted.alerted)
    (case,) = running.console.cases.every()
    ana.post("/case/note", case=case["id"], body='=HYPERLINK("http://x")')
    ana.post("/case/propose", case=case["id"], verdict="attack", reason="harvests")
    (waiting,) = running.console.cases.proposals(waiting=True)
    ben.post("/case/decide", proposal=waiting.id, outcome="approved")
    running.clock.advance(3)
    whole = ana.get("/export/case", id=case["id"], format="json").json()
    assert [each["what"] for each in whole["story"]] == ["opened", "note", "proposed", "approved"]
    assert whole["proposals"][0]["decided_by"] == "ben"
    assert [(each["verdict"], each["is_standing"]) for each in whole["verdicts"]] == [("attack", True)]
    rows = list(csv.DictReader(io.StringIO(ana.get("/export/case", id=case["id"], format="csv").text)))
    assert [row["what"] for row in rows][-1] == "verdict in the lake, standing"
    # No cell that a spreadsheet would run.
    assert rows[1]["text"].startswith("'=")
    vera = running.visitor("vera", "viewer")
    assert vera.get("/export/case", id=case["id"], format="json").status_code == 403
    assert ana.get("/export/case", id=99, format="json").status_code == 400
    assert "/export/case?" in ana.get("/case", id=case["id"]).text
    noted = [
        dict(each.document)
        for each in running.console.queries.audit.entries()
        if each.document["event"] == "export"
    ]
    assert (noted[0]["what"], noted[0]["case"], noted[0]["who"]) == (
        f"case-{case['id']}",
        f"case-{case['id']}",
        "ana",
    )


def test_the_queue_and_the_allow_list_leave_as_they_are_seen(start: Any, planted: Any) -> None:
    running = start()
    ana = running.visitor("ana", "investigator")
    for page in ("/queue?subject_kind=cluster", "/allowed"):
        text = ana.get(page).text
        links = [unescape(each) for each in re.findall(r'href="(/export/playbook[^"]+)"', text)]
        assert {"csv", "json", "parquet"} == {re.search(r"format=(\w+)", link)[1] for link in links}  # type: ignore[index]
        answer = ana.get(next(link for link in links if "format=json" in link))
        assert answer.status_code == 200
        assert answer.headers["x-distillwatch-truncated"] == "false"
        if page.startswith("/queue"):
            assert [row["subject_id"] for row in answer.json()] == [planted.cluster]
