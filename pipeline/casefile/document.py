"""The JSON document that a case file carries and is drawn from."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pipeline
from pipeline.casefile.summary import summary
from pipeline.investigate.asked import canonical_json
from pipeline.investigate.drawing import shown
from pipeline.lake.segments import code_fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.investigate import Case
    from pipeline.investigate.asked import Asked

FORMAT = 1
TABLE_ROWS = 500
"""Rows of a figure's table that are kept; the digest of the answer speaks of all."""


def case_document(
    case: Case, *, prepared_by: str | None = None, case_id: str | None = None, dated: str | None = None
) -> dict[str, Any]:
    """What a case file says, JSON-ready; the same case gives the same document.

    Parameters
    ----------
    prepared_by, case_id, dated
        Written into it as given; nothing asks a clock or the machine for them.
    """
    figures = [
        {
            "name": each.name,
            "title": each.title,
            "caption": each.caption,
            "how": each.how,
            "drawn": each.is_drawn,
            "height": round(each.height, 3),
            "data": each.data,
            "columns": list(each.columns),
            "rows": [list(row) for row in each.rows[:TABLE_ROWS]],
            "rows_in_all": len(each.rows),
            "asked": [asked.playbook for asked in each.asked],
        }
        for each in case.figures.values()
    ]
    document = {
        "format": FORMAT,
        "subject": {
            "kind": case.subject.kind,
            "id": case.subject.subject_id,
            "accounts": list(case.subject.accounts),
        },
        "prepared_by": prepared_by,
        "case_id": case_id,
        "dated": dated,
        "summary": summary(case),
        "accounts": case.rows("case_accounts"),
        "alert": case.alert,
        "other_alerts": [_brief(row) for row in case.rows("case_alerts") if case.alert is None or row["alert_id"] != case.alert["alert_id"]],
        "figures": figures,
        "records_to_read": records_to_read(case),
        "asked": {name: asked.to_json() for name, asked in case.answers.items()},
        "provenance": {
            "lake": case.lake,
            "chains": case.rows("case_chains"),
            "segments": [_segment(row) for row in case.rows("case_provenance")],
            "version": pipeline.__version__,
            "code": code_fingerprint(),
        },
        "commands": commands(case, prepared_by, case_id, dated),
    }  # fmt: skip
    plain: dict[str, Any] = json.loads(canonical_json(document))
    return plain


def commands(case: Case, prepared_by: str | None, case_id: str | None, dated: str | None) -> dict[str, Any]:
    """What to type to derive it again; ``$LAKE`` stands for the lake's folder, which a case file does not depend on."""
    subject = quoted(case.subject.subject_id)
    said = "".join(
        f" {option} {quoted(value)}"
        for option, value in (("--prepared-by", prepared_by), ("--case", case_id), ("--dated", dated))
        if value is not None
    )
    found: dict[str, Any] = {
        "again": f'distillwatch case --lake "$LAKE" --as-of {case.lake["manifest"]}{said} --out again.html -- {subject}'
    }
    if case.alert is not None:
        found["derive"] = f'distillwatch verify --lake "$LAKE" --alert {shlex.quote(case.alert["alert_id"])}'
    found["asked"] = {name: ask_again(asked, case.lake["manifest"]) for name, asked in case.answers.items()}
    found["verify"] = 'distillwatch verify --lake "$LAKE"'
    return found


def ask_again(asked: Asked, manifest: int) -> str:
    """What to type to get the rows that a figure was made of."""
    bound = "".join(
        f" --param {quoted(f'{name}={value}')}"
        for name, value in asked.parameters.items()
        if value is not None
    )
    return f'distillwatch sql --lake "$LAKE" --as-of {manifest} {asked.playbook}{bound}'


def quoted(text: str) -> str:
    r"""A word for a shell that shows every character of it: what would draw nothing or turn the line round is spelled out.

    Examples
    --------
    >>> print(quoted("acct-1"), quoted("two words"), quoted("a" + chr(7)))
    acct-1 'two words' $'a\x07'
    """
    if shown(text, len(text)) == text:
        return shlex.quote(text)
    spelled = (
        "".join(f"\\x{byte:02x}" for byte in each.encode("utf-8", "surrogatepass"))
        if shown(each) != each
        else {"\\": "\\\\", "'": "\\'"}.get(each, each)
        for each in text
    )
    return f"$'{''.join(spelled)}'"


def records_to_read(case: Case) -> list[dict[str, Any]]:
    """The records that look most like lines of a list, with what the lake holds of them, the most telling first."""
    if case.part is None:
        return []
    table = case.answers["case_prompts"].table
    rows = table.drop_columns(["embedding"]).to_pylist()
    held = {(row["request_id"], row["event_time"].isoformat()): row for row in rows}
    held |= {(row["request_id"], row["event_time"].isoformat()): row for row in case.rows("case_records")}
    found = []
    for each in case.part["records"]:
        row = held.get((each["request_id"], each["event_time"]))
        if row is None:
            continue
        found.append(
            {
                "request_id": row["request_id"],
                "account_id": row["account_id"],
                "event_time": row["event_time"],
                "model": row["model"],
                "input_tokens": row["input_tokens"],
                "output_tokens": row["output_tokens"],
                "topic": row["topic"],
                "partition": row["partition"],
                "offset": row["offset"],
                "row": row["row"],
                "why": {
                    name: each[name] for name in ("fresh", "near_in_time", "crowded", "again") if name in each
                },
            }
        )
    return found


def _brief(row: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "alert_id",
        "relation",
        "subject_kind",
        "subject_id",
        "as_of",
        "score",
        "p_value",
        "detector",
        "is_live",
    )
    return {name: row[name] for name in names}


def _segment(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if not name.startswith("lake_")
        and name
        not in {"manifest", "embedding_model", "dimension", "window_seconds", "pseudonym_fingerprint"}
    }
