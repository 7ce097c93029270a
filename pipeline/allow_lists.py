"""Verdicts from a file: an allow-list that another system keeps. Good rows land, bad ones are named.

A file is CSV with a header, or a JSON array of objects. Its columns are `COLUMNS`; only ``subject`` and ``reason`` are
always needed. A row without ``verdict`` is an entry of an allow-list. A row that says what stands already adds nothing,
so the same file can be imported every night.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.times import from_text
from pipeline.verdict_subjects import Asked, LakeSubjects
from pipeline.verdicts import ALLOWED, Verdict, read_verdicts, record, stand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from pipeline.lake import Lake, Snapshot
    from pipeline.records.pseudonyms import Pseudonyms

COLUMNS = ("subject", "kind", "verdict", "reason", "owner", "expires", "alert", "case")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, and the line it begins in; ``problem`` says why it cannot be used."""

    line: int
    values: dict[str, str]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file: verdicts that were added, those that stood already, and what was wrong where."""

    added: tuple[Verdict, ...]
    unchanged: int
    bad: tuple[tuple[int, str], ...]


def import_verdicts(
    lake: Lake,
    snapshot: Snapshot,
    path: Path,
    *,
    decided_at: datetime,
    owner: str | None = None,
    unseen: bool = False,
    pseudonyms: Pseudonyms | None = None,
) -> Imported:
    """Add the verdicts of a file to a lake.

    Parameters
    ----------
    decided_at
        When; naive UTC.
    owner
        Of the rows that name none.

    Raises
    ------
    UsageError
        The file is no table of verdicts at all.
    """
    rows = read_rows(path)
    names = [row.values["subject"] for row in rows if row.values.get("subject")]
    subjects = LakeSubjects(lake, snapshot, names, pseudonyms=pseudonyms, unseen=unseen)
    standing = stand(read_verdicts(snapshot), subjects.as_of)
    held = {("account", name): each for name, each in standing.accounts.items()} | {
        ("cluster", name): each for name, each in standing.clusters.items()
    }
    added: dict[tuple[str, str], Verdict] = {}
    lines: dict[tuple[str, str], int] = {}
    bad: list[tuple[int, str]] = []
    unchanged = 0
    for row in rows:
        try:
            verdict = subjects.verdict(_asked(row, owner), decided_at)
        except UsageError as error:
            bad.append((row.line, error.message))
            continue
        if verdict.subject in lines:
            # At one moment there is no newest word; which of the two is meant is not ours to guess.
            bad.append(
                (row.line, f"{verdict.subject_id!r} was named in line {lines[verdict.subject]} already")
            )
            continue
        lines[verdict.subject] = row.line
        now = held.get(verdict.subject)
        if now is not None and now.says_the_same(replace(verdict, members=now.members)):
            unchanged += 1
        else:
            added[verdict.subject] = verdict
    new = tuple(added.values())
    record(lake, new)
    return Imported(new, unchanged, tuple(bad))


def _asked(row: Row, owner: str | None) -> Asked:
    if row.problem is not None:
        raise UsageError(row.problem)
    value = {name: text.strip() for name, text in row.values.items() if text.strip()}
    if "subject" not in value:
        msg = "it names no account or cluster (column `subject`)"
        raise UsageError(msg)
    kind = value.get("kind")
    if kind not in {None, "account", "cluster"}:
        msg = f"kind {kind!r} is neither account nor cluster"
        raise UsageError(msg)
    try:
        expires = from_text(value.get("expires"))
    except ValueError:
        msg = f"expires {value['expires']!r} is no date; write it as 2026-12-31"
        raise UsageError(msg) from None
    return Asked(
        value["subject"],
        value.get("verdict", ALLOWED),
        value.get("reason", ""),
        value.get("owner", owner or ""),
        expires,
        value.get("alert"),
        value.get("case"),
        kind,
    )


def read_rows(path: Path) -> list[Row]:
    """Rows of a file, the unusable ones too.

    Raises
    ------
    UsageError
        It cannot be read, or is no table of verdicts.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read ({error}); name a CSV or JSON file in UTF-8"
        raise UsageError(msg) from error
    readers = {".csv": _csv_rows, ".json": _json_rows}
    if path.suffix.lower() not in readers:
        msg = f"{path} is neither .csv nor .json; name it by what it holds"
        raise UsageError(msg)
    return list(readers[path.suffix.lower()](text, path))


def _csv_rows(text: str, path: Path) -> Iterator[Row]:
    # Strict: an open quote would swallow the rest of the file as one cell.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_header(header, path)
        begins = reader.line_num + 1
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            problem = None
            if len(cells) != len(header):
                problem = f"it has {len(cells)} cells, the header has {len(header)}"
            yield Row(line, dict(zip(header, cells, strict=False)), problem)
    except csv.Error as error:
        msg = f"{path}, line {reader.line_num}: {error}; nothing was added"
        raise UsageError(msg) from error


def _check_header(header: list[str], path: Path) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or "subject" not in header or len(set(header)) < len(header):
        said = (
            f"unknown {', '.join(map(repr, unknown))}"
            if unknown
            else "`subject` is missing or a name is twice"
        )
        msg = f"{path}, line 1: {said}; the columns are {', '.join(COLUMNS)}"
        raise UsageError(msg)


def _json_rows(text: str, path: Path) -> Iterator[Row]:
    decoder = json.JSONDecoder()
    at = _after_space(text, 0)
    if text[at : at + 1] != "[":
        msg = f"{path} is no JSON array of objects; nothing was added"
        raise UsageError(msg)
    at = _after_space(text, at + 1)
    more = text[at : at + 1] != "]"
    # One object after the other, because only so is it known in which line one begins.
    while more:
        line = _line(text, at)
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            msg = f"{path}, line {error.lineno}: {error.msg}; nothing was added"
            raise UsageError(msg) from error
        yield _json_row(value, line)
        at = _after_space(text, at)
        more = text[at : at + 1] == ","
        at = _after_space(text, at + 1) if more else at
    if text[at:].strip() != "]":
        msg = f"{path}, line {_line(text, at)}: the array does not end here as it should; nothing was added"
        raise UsageError(msg)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _after_space(text: str, at: int) -> int:
    while text[at : at + 1] in {" ", "\t", "\r", "\n"}:
        at += 1
    return at


def _json_row(value: Any, line: int) -> Row:
    if not isinstance(value, dict):
        return Row(line, {}, f"{value!r} is no object")
    unknown = sorted(set(value) - set(COLUMNS))
    if unknown:
        return Row(line, {}, f"unknown {', '.join(map(repr, unknown))}; there are {', '.join(COLUMNS)}")
    said = {name: each for name, each in value.items() if each is not None}
    wrong = sorted(name for name, each in said.items() if not isinstance(each, str))
    if wrong:
        return Row(line, {}, f"{wrong[0]} is {said[wrong[0]]!r}, not text")
    return Row(line, said)
