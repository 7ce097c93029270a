"""`distillwatch alerts`, and what `verify --alert` says of a lake whose records were altered."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.alerts import Alert, alert_table
from pipeline.cli.main import run
from pipeline.cli.prose import Prose
from pipeline.lake import Lake
from pipeline.parameters import Parameters
from pipeline.spaces import EmbeddingSpace
from pipeline.verdicts import Verdict, record

if TYPE_CHECKING:
    from pathlib import Path

    Asked = tuple[int, str, str]

ENOUGH: dict[str, Any] = dict.fromkeys(("first_seen", "last_seen", "fdr")) | {
    "alert_id": "alert-bare", "subject_kind": "account", "subject_id": "a1", "members": ["a1"], "detector": "d",
    "score": 1.5, "p_value": 0.25, "as_of": "2026-01-10T09:00:00", "evidence": {}, "provenance": {},
}  # fmt: skip


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Any:
    def asked(*words: object) -> Asked:
        code = run(list(map(str, words)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return asked


@pytest.fixture(scope="module")
def altered(scored_lake: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Alert, str]:
    """A copy of the lake in which one record of the first account alert was altered; the alert, and the file."""
    root = tmp_path_factory.mktemp("altered") / "lake"
    shutil.copytree(scored_lake.root, root)
    alert = next(each for each in scored_lake.scoring.alerts if each.subject_kind == "account")
    for path in Lake.open(root).snapshot().segment_files():
        table = pq.read_table(path, partitioning=None)
        names = table["account_id"].to_pylist()
        if alert.subject_id not in names:
            continue
        values = table["output_tokens"].to_pylist()
        values[names.index(alert.subject_id)] = 1_234_567
        place = table.schema.get_field_index("output_tokens")
        column = pa.array(values, table.schema.field(place).type)
        path.chmod(0o644)
        pq.write_table(table.set_column(place, table.schema.field(place), column), path)
        return root, alert, path.relative_to(root).as_posix()
    raise AssertionError(alert.subject_id)


def test_every_alert_of_the_list_is_printed_in_whole(scored_lake: Any, ask: Any) -> None:
    alerts = scored_lake.scoring.alerts
    assert {each.subject_kind for each in alerts} == {"account", "cluster"}
    code, out, err = ask("alerts", "--lake", scored_lake.root)
    assert code == 0
    assert f"{len(alerts)} alerts" in err
    # Most certain first, as `score` lists them.
    heads = [line for line in out.splitlines() if f" of {len(alerts)}: " in line]
    assert [line.split(": ")[1] for line in heads] == [f"{a.subject_kind} {a.subject_id}" for a in alerts]
    for alert, text in zip(alerts, out.split("\n\n"), strict=False):
        said = alert.evidence
        for sentence in (*said["sentences"], *said["against"], said["limits"]):
            assert sentence in text
        assert f"{said['records']:,} records, seen from {alert.first_seen:%Y-%m-%d %H:%M}" in text
        assert f"p-value {alert.p_value:.2g}" in text
        assert "false discovery rate of 0.2" in text
        assert f"verify --lake {scored_lake.root} --alert {alert.alert_id}" in text
        assert all(member in text for member in alert.members)
        assert "no verdict stands" in text
        benign, look = said.get("benign_explanation"), said.get("look_at")
        assert (alert.subject_kind == "cluster") or (benign and look)
        for standing in (benign or {}).get("untypical", []):
            assert standing["sentence"] in text
        for each in (look or {}).get("records", []):
            assert each.get("request_id", "") in text
        assert alert.provenance["profile"] in text


def test_programs_get_the_same_with_all_evidence(scored_lake: Any, ask: Any) -> None:
    alerts = scored_lake.scoring.alerts
    code, out, _ = ask("alerts", "--lake", scored_lake.root, "--limit", 2, "--format", "json")
    rows = json.loads(out)
    assert code == 0
    assert [row["alert_id"] for row in rows] == [alert.alert_id for alert in alerts[:2]]
    assert rows[0]["evidence"] == json.loads(json.dumps(alerts[0].evidence))
    assert rows[0]["provenance"]["vector"] == alerts[0].provenance["vector"]
    assert (rows[0]["in_list"], rows[0]["decision"], rows[0]["holds"]) == (True, "alert", None)
    _, out, _ = ask("alerts", "--lake", scored_lake.root, alerts[1].alert_id, "--format", "csv")
    csv.field_size_limit(10_000_000)
    (line,) = csv.DictReader(io.StringIO(out))
    assert line["alert_id"] == alerts[1].alert_id
    assert json.loads(line["evidence"]) == rows[1]["evidence"]


def test_nothing_is_written(scored_lake: Any, ask: Any) -> None:
    def files() -> dict[Path, float]:
        return {path: path.stat().st_mtime_ns for path in scored_lake.root.rglob("*") if path.is_file()}

    before = files()
    assert ask("alerts", "--lake", scored_lake.root, "--all", "--limit", 1, "--verify")[0] == 0
    assert files() == before


def test_each_is_derived_again_when_asked(
    altered: tuple[Path, Alert, str], scored_lake: Any, ask: Any
) -> None:
    root, alert, file = altered
    other = next(each for each in scored_lake.scoring.alerts if each.subject_kind == "cluster")
    assert alert.subject_id not in other.members
    ids = (other.alert_id, alert.alert_id)
    code, out, err = ask("alerts", "--lake", scored_lake.root, *ids, "--verify")
    assert code == 0
    assert out.count("derived again just now: no difference") == 2
    assert "2 derived again without a difference, 0 refused" in err
    code, out, err = ask("alerts", "--lake", root, alert.alert_id, "--verify")
    assert code == 1
    assert "derived again just now: REFUSED" in out
    assert f"account {alert.subject_id}: its landed records are not those that were judged" in out
    assert file in out
    assert "1 refused" in err
    code, out, _ = ask("alerts", "--lake", root, alert.alert_id, "--verify", "--format", "json")
    (row,) = json.loads(out)
    assert (code, row["holds"]) == (1, False)
    assert "altered, lost or added" in row["reasons"][0]


@pytest.mark.parametrize("format_", ["table", "json", "csv"])
def test_verify_says_whole_what_was_altered_where_and_the_way_out(
    altered: tuple[Path, Alert, str], ask: Any, format_: str
) -> None:
    root, alert, file = altered
    code, out, err = ask("verify", "--lake", root, "--alert", alert.alert_id, "--format", format_)
    assert code == 1
    if format_ == "table":
        reasons = [line.removeprefix("  - ") for line in out.splitlines() if line.startswith("  - ")]
    elif format_ == "json":
        reasons = [row["difference"] for row in json.loads(out)]
    else:
        reasons = [row["difference"] for row in csv.DictReader(io.StringIO(out))]
    first, *rest = reasons
    # What a person needs comes first: who, what happened, where, what to do.
    assert first.startswith(
        f"account {alert.subject_id}: its landed records are not those that were judged: records were altered, lost or added."
    )
    assert f"{file} (offsets " in first
    assert f"{alert.evidence['records']} records), WHICH IS NOT AS IT WAS LANDED" in first
    assert f"Way out: restore {file} from a copy of the lake" in first
    assert f"distillwatch verify --lake {root} --all" in first
    assert any("records were altered, lost or added" in reason for reason in rest)
    assert "REFUSED" in (out if format_ == "table" else err)


def test_all_checks_name_the_whole_file(altered: tuple[Path, Alert, str], ask: Any) -> None:
    root, _, file = altered
    code, out, _ = ask("verify", "--lake", root, "--all")
    assert code == 1
    assert str(root / file) in out


def test_records_that_are_gone_are_counted(
    altered: tuple[Path, Alert, str], ask: Any, tmp_path: Path
) -> None:
    _, alert, file = altered
    root = tmp_path / "lake"
    shutil.copytree(altered[0], root)
    # The account's last three records are somebody else's now. Rows that are missing altogether no lake is opened with.
    table = pq.read_table(root / file, partitioning=None)
    names = table["account_id"].to_pylist()
    last = len(names) - names[::-1].index(alert.subject_id)
    names[last - 3 : last] = [f"{alert.subject_id}!"] * 3
    place = table.schema.get_field_index("account_id")
    column = pa.array(names, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), root / file)
    code, out, _ = ask("verify", "--lake", root, "--alert", alert.alert_id)
    assert code == 1
    records = alert.evidence["records"]
    assert f"Its {records - 3} records of that time (the alert counted {records}) lie in {file}" in out
    pq.write_table(table.slice(3), root / file)
    code, _, err = ask("verify", "--lake", root, "--alert", alert.alert_id)
    assert code == 1
    assert f"{root / file} has" in err
    assert "restore it from a copy" in err


@pytest.fixture
def bare(tmp_path: Path) -> Lake:
    """A lake with an older alert in its table, and live ones that say little, or what this version does not know."""
    parameters = Parameters.generate(EmbeddingSpace("test-model", 8), seed="cli")
    lake = Lake.create(tmp_path / "lake", parameters=parameters)
    old = Alert.from_row({**ENOUGH, "alert_id": "alert-old", "as_of": "2026-01-01T00:00:00", "fdr": 0.05})
    file = lake.put_table("alerts", alert_table([old]))
    lake.publish(lambda manifest: manifest.with_tables("alerts", [file]))
    told = {
        "look": {"records": 100, "level": 0.0001, "alpha": 0.002},
        "sentences": ["It harvests \x1b[2J."],
        "benign_explanation": {
            "sentence": "A shop fits best.",
            "members": {"m1": {"sentence": "One is a shop."}},
        },
        "look_at": {"m1": {"sentence": "Read these.", "records": [{"request_id": "r-1", "row": 0}]}},
        "news": [{"sentence": "Nobody knew this key."}, {"half": 0.5}],
    }
    live = {**ENOUGH, "alert_id": "alert-told", "evidence": told, "provenance": {"vector": {"t/0": 7}}}
    for alert in (ENOUGH, live):
        lake.store.put_bytes(json.dumps(alert).encode(), f"alerts/{alert['alert_id']}.json")
    return lake


def test_alerts_that_say_little_and_keys_that_nobody_knew_are_printed(bare: Lake, ask: Any) -> None:
    code, out, err = ask("alerts", "--lake", bare.root)
    assert (code, out) == (0, "")
    assert "0 in the list of its newest scoring, 2 live ones (--live) and 1 older" in err
    code, out, _ = ask("alerts", "--lake", bare.root, "--live")
    assert code == 0
    assert "alert-old" not in out
    assert "alert-bare" in out
    assert "\x1b" not in out
    for words in (
        "raised live at the look at 100 records",
        "A shop fits best.",
        "One is a shop.",
        "Read these.",
        "request id r-1",
        "Nobody knew this key.",
        "half 0.5",
        "records below offset 7 of t/0",
        "the newest scoring did not judge it",
    ):
        assert words in out
    _, out, _ = ask("alerts", "--lake", bare.root, "--all", "--format", "json")
    assert [row["alert_id"] for row in json.loads(out)] == ["alert-bare", "alert-told", "alert-old"]


def test_verdicts_that_stand_are_told(bare: Lake, ask: Any) -> None:
    verdict = Verdict("account", "a1", "benign", "a shop, they said", "kim", datetime(2026, 1, 11))
    record(bare, [verdict])
    _, out, _ = ask("alerts", "--lake", bare.root, "alert-bare")
    assert "benign, by kim on 2026-01-11 00:00 UTC: a shop, they said" in out
    assert verdict.verdict_id in out


def test_what_cannot_be_asked_is_said(bare: Lake, ask: Any) -> None:
    code, _, err = ask("alerts", "--lake", bare.root, "alert-bare", "--all")
    assert code == 2
    assert "not both" in err
    code, _, err = ask("alerts", "--lake", bare.root, "alert-of-nobody")
    assert code == 1
    assert "no alert alert-of-nobody" in err
    # One that names nothing to derive it from is refused, and nothing breaks.
    code, out, _ = ask("alerts", "--lake", bare.root, "alert-bare", "--verify")
    assert code == 1
    assert "REFUSED" in out
    assert "its provenance lacks vector, manifest" in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_folds_and_cuts_nothing() -> None:
    text = "a reason of many words that is " + "long " * 30 + "x" * 90 + " [bold]end[/bold]"
    stream = Terminal()
    Prose(stream, width=40).say(text, indent=2, mark="- ")
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[0].startswith("  - a reason")
    assert all(line.startswith("    ") for line in lines[1:])
    assert "".join("".join(line[4:] for line in lines).split()) == "".join(text.split())
    plain = io.StringIO()
    Prose(plain).say(text, indent=2, mark="- ")
    assert plain.getvalue() == f"  - {text}\n"
