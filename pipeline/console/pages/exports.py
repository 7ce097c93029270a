"""Tables as files, case files, cases with their history, extracts of the record. Who took what is in the record."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from starlette.responses import Response

from pipeline.console.pages.audit import asked_for
from pipeline.console.pages.cases import number_of, story_of
from pipeline.console.pages.playbooks import asked_of
from pipeline.console.routes import PageRoute
from pipeline.errors import UsageError
from pipeline.warehouse import playbook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.console.page import Page
    from pipeline.sandbox import Answer

MOST_LINES = 10_000
"""Of the record, in one file."""

MOST_NAME_BYTES = 200
"""Of a file's name; most file systems take 255, and programs that save add some."""

TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}


def of_playbook(page: Page) -> Response:
    """The answer of a playbook."""
    file = playbook(page.get("name"))
    answer = page.playbook(file.name, **asked_of(page, file))
    return _file(page, answer, file.name, page.get("format"))


def of_query(page: Page) -> Response:
    """The answer of a query of one's own."""
    answer = page.console.queries.ask(page.form.get("q", ""), who=page.user.name, manifest=page.manifest)
    return _file(page, answer, "answer", page.field("format"))


def _file(page: Page, answer: Answer, name: str, kind: str) -> Response:
    if kind not in TYPES:
        msg = f"there is no format {kind!r}; there are {', '.join(TYPES)}"
        raise UsageError(msg)
    page.console.queries.audit.note(
        "export", who=page.user.name, of=answer.audit, format=kind, rows=answer.table.num_rows
    )
    body = {"csv": as_csv, "json": as_json, "parquet": as_parquet}[kind](answer)
    return Response(
        body,
        media_type=TYPES[kind],
        headers={
            "content-disposition": attachment(f"{name}-m{answer.manifest}", kind),
            # What it was made from: manifest, the line that recorded the question, whether rows are missing.
            "x-distillwatch-manifest": str(answer.manifest),
            "x-distillwatch-audit": answer.audit,
            "x-distillwatch-truncated": str(answer.truncated).lower(),
        },
    )


def attachment(name: str, ending: str) -> str:
    """A ``Content-Disposition`` (RFC 6266) under which a file is kept.

    A plain name stands for itself. Another one is given whole, percent-encoded, beside a plain one for programs that know no
    other: it ends with a digest of the name, so that files about several subjects do not replace each other.

    Examples
    --------
    >>> print(attachment("case-17", "json"))
    attachment; filename="case-17.json"
    >>> print(attachment("case-°", "html"))
    attachment; filename="case-_-cc50be63.html"; filename*=UTF-8''case-%C2%B0.html
    """
    plain = safe_name(name)
    if plain == name:
        return f'attachment; filename="{plain}.{ending}"'
    tag = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    whole = quote(f"{_whole_name(name, tag)}.{ending}", safe="")
    return f"attachment; filename=\"{plain}-{tag}.{ending}\"; filename*=UTF-8''{whole}"


def _whole_name(name: str, tag: str) -> str:
    """A name as files may have it: no folder in it, nothing that is not seen, not longer than file systems take."""
    seen = "".join(each if each.isprintable() and each not in '/\\:*?"<>|' else "_" for each in name)
    if len(seen.encode()) <= MOST_NAME_BYTES:
        return seen
    return seen.encode()[:MOST_NAME_BYTES].decode(errors="ignore") + f"-{tag}"


def safe_name(name: str) -> str:
    """A file name of ASCII letters, digits, dots, underscores and hyphens."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:80] or "file"


def as_csv(answer: Answer) -> bytes:
    """CSV: nested values as JSON, bytes as hexadecimal, and no cell that a spreadsheet would run."""
    columns = [
        _flat(column) if not _plain(column.type) else _harmless(column) for column in answer.table.columns
    ]
    table = pa.table(dict(zip(answer.table.column_names, columns, strict=True)))
    sink = io.BytesIO()
    pa_csv.write_csv(table, sink)
    return sink.getvalue()


def _plain(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return pa.array(
        [None if value is None else _guarded(_text(value)) for value in column.to_pylist()], pa.string()
    )


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else json.dumps(_readable(value), ensure_ascii=False)


def _harmless(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    if not pc.any(pc.match_substring_regex(column, r"^[=+\-@\t\r]")).as_py():
        return column
    return pa.array([None if value is None else _guarded(value) for value in column.to_pylist()], pa.string())


def _guarded(text: str) -> str:
    # A spreadsheet takes such a cell for a formula; a quote before it says that it is text.
    return f"'{text}" if text[:1] in "=+-@\t\r" and text[:1] else text


def as_json(answer: Answer) -> bytes:
    """JSON: an array of objects."""
    return json.dumps([_readable(row) for row in answer.rows()], ensure_ascii=False).encode()


def _readable(value: Any) -> Any:  # noqa: PLR0911 -- one for each kind of value
    if isinstance(value, dict):
        return {str(key): _readable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_readable(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value != value:  # noqa: PLR0124 -- NaN is no JSON
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def as_parquet(answer: Answer) -> bytes:
    """Parquet, with what it was made from in its metadata."""
    about = {
        b"distillwatch.sql": answer.sql.encode(),
        b"distillwatch.manifest": str(answer.manifest).encode(),
        b"distillwatch.audit": answer.audit.encode(),
    }
    table = answer.table.replace_schema_metadata({**(answer.table.schema.metadata or {}), **about})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def case_file(page: Page) -> Response:
    """The case file of an account or a cluster: one page that needs nothing else."""
    from pipeline.console.case_files import render_case_file

    subject = page.exactly("subject")
    if not subject:
        msg = "a case file is about an account or a cluster; name it as subject"
        raise UsageError(msg)
    text = render_case_file(page, subject)
    page.console.queries.audit.note("case file", who=page.user.name, subject=subject, case=page.get("case"))
    return Response(
        text,
        media_type="text/html; charset=utf-8",
        headers={"content-disposition": attachment(f"case-{subject}", "html")},
    )


def case(page: Page) -> Response:
    """A case: who wrote, proposed and decided what, and every verdict on its subject.

    As JSON all of it; as CSV one row for each thing that happened, and one for each verdict of the lake.
    """
    number = number_of(page.get("id"))
    about, story, proposals = story_of(page, number)
    verdicts = page.rows("verdict_history", subject_id=about["subject_id"])
    rows = [
        {
            "at": each["at"],
            "who": each["who"],
            "what": each["what"],
            "verdict": each["proposal"].verdict if "proposal" in each else None,
            "text": each["body"],
            "link": each["link"],
        }
        for each in story
    ]
    rows += [
        {
            "at": each["decided_at"],
            "who": each["owner"],
            "what": "verdict in the lake" + (", standing" if each["is_standing"] else ""),
            "verdict": each["verdict"],
            "text": each["reason"],
            "link": None,
        }
        for each in verdicts
    ]
    whole = {
        "case": about,
        "story": rows[: len(story)],
        "proposals": [asdict(each) for each in proposals],
        "verdicts": verdicts,
    }
    return _document(
        page,
        f"case-{number}",
        whole,
        rows,
        ("at", "who", "what", "verdict", "text", "link"),
        case=f"case-{number}",
    )


def audit(page: Page) -> Response:
    """The lines of the record that a page shows, and those that its next pages would.

    As JSON they are as they stand in the record, so that each can be held against its hash.
    """
    wanted, found = asked_for(page, most=MOST_LINES)
    names = ("n", "at", "who", "event", "case", "playbook", "sql", "parameters", "manifest", "outcome", "rows", "milliseconds", "hash")  # fmt: skip
    rows = []
    for line in found.lines:
        end = line["end"] or {}
        rows.append(
            {
                **{name: line.get(name) for name in names},
                **{name: end[name] for name in names[9:12] if name in end},
            }
        )
    whole = {
        "asked_for": asdict(wanted),
        "lines_looked_at": found.read,
        "goes_on_before": found.before,
        "last_line": found.newest,
        "lines": [
            {"line": {name: value for name, value in line.items() if name != "end"}, "ended": line["end"]}
            for line in found.lines
        ],
    }
    return _document(page, "audit", whole, rows, names)


def _document(
    page: Page,
    name: str,
    whole: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    **about: object,
) -> Response:
    """What is no answer of the lake, as JSON or CSV; recorded before it leaves."""
    kind = page.get("format")
    if kind not in {"csv", "json"}:
        msg = f"there is no format {kind!r}; there are csv, json"
        raise UsageError(msg)
    page.console.queries.audit.note(
        "export", who=page.user.name, what=name, format=kind, rows=len(rows), **about
    )
    if kind == "json":
        body = json.dumps(_readable(whole), ensure_ascii=False, indent=1).encode()
    else:
        sink = io.StringIO()
        writer = csv.writer(sink)
        writer.writerow(columns)
        writer.writerows([_csv_cell(row.get(column)) for column in columns] for row in rows)
        body = sink.getvalue().encode()
    return Response(
        body,
        media_type=TYPES[kind],
        headers={"content-disposition": attachment(name, kind)},
    )


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    readable = _readable(value)
    text = readable if isinstance(readable, str) else json.dumps(readable, ensure_ascii=False)
    return _guarded(text) if isinstance(value, str | dict | list) else text


ROUTES = (
    PageRoute("/export/playbook", of_playbook, role="investigator"),
    PageRoute("/export/sql", of_query, role="investigator", method="POST"),
    PageRoute("/export/case-file", case_file, role="investigator"),
    PageRoute("/export/case", case, role="investigator"),
    PageRoute("/export/audit", audit, role="investigator"),
)
