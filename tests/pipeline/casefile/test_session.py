"""A lake from Python: the sandbox's answers, profiles that add, and the notebook that ships."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.investigate import open_lake
from pipeline.profiles import Profiles
from pipeline.sandbox import AuditLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.investigate import Investigation

NO_PANDAS = """
import importlib.abc, sys
class NoPandas(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoPandas())
"""
NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebooks" / "a_case_in_python.py"


@pytest.fixture(scope="module")
def session(planted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Investigation]:  # type: ignore[no-untyped-def]
    with open_lake(
        planted.lake, who="tester", audit=tmp_path_factory.mktemp("audit") / "a.jsonl"
    ) as investigation:
        yield investigation


def test_answers_are_tables_and_values_are_bound(session: Investigation, planted) -> None:  # type: ignore[no-untyped-def]
    table = session.ask("select $a as a, count(*) as n from records where account_id = $a", a=planted.account)
    assert table.to_pylist()[0]["a"] == planted.account
    assert session.playbook("case_timeline", subject=planted.account).num_rows
    assert session.ask("select 1 as name, 2 as sql").to_pylist() == [{"name": 1, "sql": 2}]


@pytest.mark.parametrize(
    "sql", ["copy (select 1) to 'x.csv'", "select * from read_csv('/etc/passwd')", "set threads = 9"]
)
def test_a_notebook_can_do_no_more_than_the_command_line(session: Investigation, sql: str) -> None:
    with pytest.raises(UsageError):
        session.ask(sql)


def test_an_answer_that_is_cut_is_an_error_and_not_an_answer(planted, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with (
        open_lake(planted.lake, who="t", audit=tmp_path / "a.jsonl", rows=5) as few,
        pytest.raises(UsageError, match="more rows"),
    ):
        few.ask("from records")


def test_profiles_add_up_and_can_be_taken_apart(session: Investigation, planted) -> None:  # type: ignore[no-untyped-def]
    members = list(planted.members)
    whole, parts = session.merged(members), session.profiles(members).by_account()
    counted = session.ask(
        "select sum(records)::bigint as n from windows where list_contains($m, account_id)", m=members
    )
    assert int(whole.records[0]) == int(parts.records.sum()) == counted["n"][0].as_py()
    np.testing.assert_array_equal(whole.embedding_sum[0], parts.embedding_sum.sum(0))
    one, rest = (
        session.merged(some).replace_keys(whole.account_id, whole.window_start)
        for some in (members[:1], members[1:])
    )
    assert Profiles.subtract(whole, one).equals(rest, distinct=False)
    assert Profiles.merge(one, rest).equals(whole)


def test_reading_profiles_is_recorded_before_anything_is_read(
    planted,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = tmp_path / "a.jsonl"

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in record.read_text().splitlines()]

    with open_lake(planted.lake, who="m.weber", case="C-7", audit=record) as lake:
        found = lake.profiles(planted.benign, start=datetime(2020, 1, 1))
        asked, ended = lines()
        assert (asked["event"], asked["who"], asked["case"]) == ("asked", "m.weber", "C-7")
        assert (asked["manifest"], asked["guard"]) == (lake.manifest, "none")
        assert asked["parameters"] == {
            "accounts": [planted.benign],
            "start": {"datetime": "2020-01-01T00:00:00"},
            "stop": None,
        }
        assert "outside the sandbox" in str(asked["sql"])
        assert (ended["outcome"], ended["rows"]) == ("answered", len(found.records))
        lake.merged(planted.members)
        assert len(lines()) == 4
        assert lines()[2]["parameters"]["accounts"] == list(planted.members)  # type: ignore[index]

        def broken(*_: object) -> None:
            assert len(lines()) == 5, "it reads before it is recorded"
            raise OSError

        monkeypatch.setattr("pipeline.investigate.session.read_profiles", broken)
        with pytest.raises(OSError):  # noqa: PT011 -- raised above, without words
            lake.profiles()
    assert (lines()[4]["parameters"]["accounts"], lines()[5]["outcome"]) == (None, "failed")  # type: ignore[index]
    AuditLog(record).verify()


def test_the_documentation_uses_nothing_that_no_extra_brings(session: Investigation, planted) -> None:  # type: ignore[no-untyped-def]
    """The code under «In a notebook», as it stands there, in this lake and with its cluster, without pandas."""
    text = (Path(__file__).parents[3] / "docs" / "case-files.md").read_text()
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "open_lake" in each)
    code = code.replace('"lake"', repr(str(planted.lake))).replace("acct-17", planted.account)
    code = re.sub(r"cluster-[0-9a-f]{16}", planted.cluster, code)
    code = f"{NO_PANDAS}{code}\nprint(whole.records[0], len(table))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == str(session.merged(planted.members).records[0])
    # What the notebook imports and no extra brings is said beside both.
    assert "distillwatch[investigate]' marimo" in text
    assert "distillwatch[investigate]' marimo" in NOTEBOOK.read_text()


def test_vectors_are_those_of_the_records(session: Investigation, planted) -> None:  # type: ignore[no-untyped-def]
    rows, vectors = session.vectors(planted.account, newest=30)
    assert vectors.shape == (30, 384)
    assert "embedding" not in rows.column_names
    newest = session.ask("select max(event_time) as t from records where account_id = $a", a=planted.account)
    assert rows["event_time"][-1].as_py() == newest["t"][0].as_py()


def test_figures_are_known_by_name(account) -> None:  # type: ignore[no-untyped-def]
    assert account.figure("coverage").asked[0].playbook == "case_topics"
    with pytest.raises(UsageError, match="no figure 'pie'; there are timeline"):
        account.figure("pie")


def test_whoever_asks_has_a_name(planted) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="who asks"):
        open_lake(planted.lake, who=" ")


def test_the_notebook_runs_from_top_to_bottom(lake: Path, planted, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("marimo", reason="needs marimo, of the tests' dependencies")
    # No proxy and no home: whatever would ask the network or a cache has none.
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "NO_PROXY": "", "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "DO_NOT_TRACK": "1"}  # fmt: skip
    figures = tmp_path / "figures"
    done = subprocess.run(
        [sys.executable, str(NOTEBOOK), "--lake", str(lake), "--subject", planted.cluster, "--figures", str(figures)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "together: " in done.stdout
    assert f"the case is about {planted.cluster}" in done.stdout
    drawn = {path.stem for path in figures.iterdir()}
    assert {"timeline", "coverage", "prompts", "graph"} <= drawn
    who = {
        json.loads(line).get("who") for line in (lake / "audit" / "queries.jsonl").read_text().splitlines()
    }
    assert "notebook" in who
