"""Golden cases: a small lake written step by step, a question, and the rows that must come back.

A case is a folder ``cases/<relation>/test_<case>/``:

- ``lake.jsonl``: what happens, line by line. A line is a record (or a rejected one, if it has a ``reason``), a row of
  a result table (``"table": "account_scores"``), a live alert (``"table": "live_alert"``), or a step
  (``"step": "land"``, ``"roll_up"``).
- ``ask.toml``: ``params`` of a playbook, or the ``query`` for a view or macro.
- ``expect.jsonl``: the rows in order, with the columns that matter. Lines that begin with # tell the story.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.output import plain
from pipeline.warehouse import connect, load_tree

CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(path.parent for path in CASES.glob("*/test_*/expect.jsonl"))
PLAYBOOKS = {file.name: file for file in load_tree()["playbooks"]}
KNOWN = {file.name for files in load_tree().values() for file in files}


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in text if line.strip() and not line.startswith("#")]


def test_every_playbook_has_a_case_that_finds_something_and_one_that_stays_quiet() -> None:
    for name in PLAYBOOKS:
        counts = [len(lines(folder / "expect.jsonl")) for folder in FOLDERS if folder.parent.name == name]
        assert any(counts), f"no case of {name} finds anything"
        assert 0 in counts, f"no case of {name} stays quiet"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_case(folder: Path, build: Any) -> None:
    assert folder.parent.name in KNOWN
    builder = build()
    for line in lines(folder / "lake.jsonl"):
        builder.step(line)
    ask = tomllib.loads((folder / "ask.toml").read_text(encoding="utf-8"))
    session = connect(builder.path)
    playbook = PLAYBOOKS.get(folder.parent.name)
    if playbook is not None and "query" not in ask:
        cursor = session.execute(playbook.statement, playbook.bind(ask.get("params", {})))
    else:
        cursor = session.execute(ask["query"])
    names = [column[0] for column in cursor.description]
    found = [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]
    wanted = lines(folder / "expect.jsonl")
    shown = [
        {name: row[name] for name in (wanted[at] if at < len(wanted) else row)}
        for at, row in enumerate(found)
    ]
    assert shown == [pytest.approx(row, abs=1e-9) if _flat(row) else row for row in wanted]


def _flat(row: dict[str, Any]) -> bool:
    """Whether numbers may be compared with a tolerance: pytest does that for plain values only."""
    return not any(isinstance(value, list | dict) for value in row.values())
