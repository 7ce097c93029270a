"""What breaks underneath while the console serves: the page says what, gives nothing away, and all is well afterwards."""

from __future__ import annotations

import re
import sqlite3
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from pipeline.assembly import engine_for
from pipeline.console import ConsoleSettings
from pipeline.console.queries import said as words_of
from pipeline.console.state import database
from pipeline.errors import DistillwatchError, LakeError
from pipeline.lake import Lake
from pipeline.lake.recompute import recompute


def said(answer: Any) -> str:
    text = unescape(re.sub(r"<[^>]+>", " ", answer.text))
    return " ".join(text.split())


def gives_nothing_away(answer: Any, running: Any) -> bool:
    lake = running.console.settings.lake
    return not any(each in answer.text for each in ("Traceback", str(lake), str(lake.parent), "File &#34;/"))


def test_a_lake_that_goes_away_is_said_and_comes_back(
    start: Any, lake: Any, planted: Any, tmp_path: Any
) -> None:
    running = start(state=tmp_path / "elsewhere" / "state.sqlite")
    ana = running.visitor("ana", "investigator")
    assert ana.get("/queue").status_code == 200
    away = lake.rename(lake.with_name("away"))
    running.clock.advance(61)
    for path, more in (
        ("/queue", {}),
        ("/account", {"id": planted.alerted}),
        ("/sql", {"q": "select 1", "run": 1}),
        ("/audit", {}),
    ):
        answer = ana.get(path, **more)
        assert answer.status_code == 500, path
        assert "the lake LAKE is gone" in said(answer), path
        assert "mount or restore its folder" in said(answer), path
        assert gives_nothing_away(answer, running), path
    assert not lake.exists(), "nothing is made where the lake was"
    away.rename(lake)
    running.clock.advance(61)
    assert ana.get("/queue").status_code == 200


def test_a_state_file_that_goes_away_is_said_and_not_made_anew(start: Any) -> None:
    running = start()
    ana = running.visitor("ana", "investigator")
    path = running.console.settings.state_file
    for each in path.parent.glob("state.sqlite*"):
        each.rename(each.with_name(f"kept-{each.name}"))
    answer = ana.get("/cases")
    assert answer.status_code == 500
    assert "state file STATE cannot be used" in said(answer)
    assert "Put it back from a copy" in said(answer)
    assert gives_nothing_away(answer, running)
    assert not path.exists()
    for each in path.parent.glob("kept-*"):
        each.rename(each.with_name(each.name.removeprefix("kept-")))
    assert ana.get("/cases").status_code == 200


def test_a_locked_state_file_keeps_writers_waiting_and_readers_not(
    start: Any, planted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_WAIT_SECONDS", 0.05)
    running = start()
    ana = running.visitor("ana", "investigator")
    ana.post("/case/open", kind="account", subject=planted.alerted)
    other = sqlite3.connect(running.console.settings.state_file, isolation_level=None)
    other.execute("begin immediate")
    try:
        refused = ana.post("/case/note", case=1, body="while it is locked")
        assert refused.status_code == 503
        assert "keeps the console's state file locked; nothing was changed" in said(refused)
        # Also when the time has come to note that this session is alive.
        running.clock.advance(120)
        assert ana.get("/cases").status_code == 200
    finally:
        other.execute("rollback")
        other.close()
    assert ana.post("/case/note", case=1, body="afterwards").status_code == 303
    assert "while it is locked" not in ana.get("/case", id=1).text


@pytest.mark.parametrize("part", ["footer", "middle"])
def test_a_damaged_file_of_the_lake_is_named_with_the_way_out(
    start: Any, lake: Any, planted: Any, part: str
) -> None:
    running = start()
    ana = running.visitor("ana", "investigator")
    for path in Lake.open(lake).snapshot().window_files():
        data = path.read_bytes()
        half = len(data) // 2
        path.write_bytes(data[:half] if part == "footer" else data[:4] + b"\0" * half + data[4 + half :])
    # Sessions that are open may hold what they have read; those that begin now do not.
    running.console.queries.close()
    about = {"p.account_id": planted.alerted}
    answer = ana.get("/playbooks", name="account_timeline", run=1, **about)
    assert answer.status_code in {200, 422, 500}
    assert (".windows.parquet cannot be read" if part == "footer" else "verify --lake DIR` names it") in said(
        answer
    )
    assert "restore it from a copy of the lake" in said(answer)
    assert gives_nothing_away(answer, running)
    if part == "middle":
        opened = Lake.open(lake)
        with pytest.raises(LakeError, match=r"\.windows\.parquet cannot be read"):
            recompute(opened.snapshot(), engine_for(opened, "numpy"))


@pytest.mark.parametrize("lake", ["lake", "sl", "a", "b.c"])
def test_a_lakes_path_is_taken_out_and_no_word_is(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, lake: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / lake).mkdir(exist_ok=True)
    (tmp_path / "way").symlink_to(lake)
    whole = tmp_path / lake
    for path in (Path(lake), whole, Path("way")):
        settings = ConsoleSettings(lake=path)

        def shown(text: str, settings: ConsoleSettings = settings) -> str:
            return words_of(DistillwatchError(text), settings)

        assert shown("the lake knows no account 'a'; see template_slots") == (
            "the lake knows no account 'a'; see template_slots"
        )
        at = path.absolute()
        assert shown(f"the lake {at} is gone") == "the lake LAKE is gone"
        assert shown(f"{at}/tables/x.parquet cannot be read") == "LAKE/tables/x.parquet cannot be read"
        assert shown(f"open '{at}'.") == "open 'LAKE'."
        assert shown(f"it is in {at}.") == "it is in LAKE."
        assert shown(f"file://{at}/lake.json") == "file://LAKE/lake.json"
        assert shown(f"state {at}/console/state.sqlite") == "state STATE"
        assert shown(f"in {whole.resolve()}: no") == "in LAKE: no"
        for other in (f"{at}s", f"{at}-old", f"{at}.bak", f"/mnt{at}"):
            assert shown(f"{other} is another") == f"{other} is another"


def test_a_lake_that_was_named_by_a_short_word_is_spoken_of_in_whole_words(
    start: Any, lake: Any, planted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lake.parent)
    running = start(lake=Path("lake"))
    ana = running.visitor("ana", "investigator")
    assert "this lake knows no account" in said(ana.post("/case/open", kind="account", subject="nobody"))
    away = lake.rename(lake.with_name("away"))
    running.clock.advance(61)
    monkeypatch.chdir("/")
    answer = ana.get("/queue")
    assert "away" not in answer.text
    assert str(lake.parent) not in answer.text
    away.rename(lake)
    assert ana.get("/queue").status_code == 200
