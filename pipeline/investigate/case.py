"""Everything a case file shows about one subject, gathered from one snapshot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.investigate.asked import plain
from pipeline.investigate.figures import FIGURES, Figure, Sources
from pipeline.investigate.looks import looks
from pipeline.investigate.projection import grid, plane_of
from pipeline.investigate.subjects import Subject, find_subject
from pipeline.records_to_look_at import records_to_look_at
from pipeline.signals.sequence import COLUMNS
from pipeline.signals.sequence.reading import account_reads
from pipeline.warehouse.tree import playbook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.engine import Engine
    from pipeline.investigate.asked import Asked
    from pipeline.investigate.session import Investigation

PLAYBOOKS = (
    "case_accounts",
    "case_alerts",
    "case_timeline",
    "case_scores",
    "case_topics",
    "case_prompts",
    "case_benign_prompts",
    "case_records",
    "case_repeats",
    "case_parameters",
    "case_networks",
    "case_edges",
    "case_provenance",
    "case_chains",
)

PART_RECORDS = 50
"""Records below which no part of them is compared with the rest."""


@dataclass(frozen=True, slots=True)
class Case:
    """One subject with its answers and figures.

    Parameters
    ----------
    subject
        Whom it is about.
    answers
        What each playbook of `PLAYBOOKS` answered.
    alert
        The subject's own newest alert, evidence and provenance parsed.
    figures
        By name, in the order of a case file.
    part
        What of it looks like a list, and the records to read first.
    lake
        Fingerprints of the lake, and the manifest that was read.
    """

    subject: Subject
    answers: Mapping[str, Asked]
    alert: Mapping[str, Any] | None
    figures: Mapping[str, Figure]
    part: Mapping[str, Any] | None
    lake: Mapping[str, Any]

    def figure(self, name: str) -> Figure:
        """One figure: ``.draw()`` for the chart, ``.rows`` for the numbers, ``.asked`` for the SQL.

        Raises
        ------
        UsageError
            There is no figure of that name.
        """
        if name not in self.figures:
            msg = f"a case has no figure {name!r}; there are {', '.join(self.figures)}"
            raise UsageError(msg)
        return self.figures[name]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Rows of a playbook's answer."""
        return self.answers[name].rows


def gather(
    investigation: Investigation,
    name: str,
    report: Callable[[int, int, str], None] = lambda _done, _total, _what: None,
) -> Case:
    """Ask everything about an account or a cluster.

    Parameters
    ----------
    report
        Told (done, total, what) while questions are asked and figures made.

    Raises
    ------
    UsageError
        The lake knows nothing of that name.
    """
    known = {each: investigation.asked(each, subject=name) for each in ("case_accounts", "case_alerts")}
    subject = find_subject(name, known["case_accounts"], known["case_alerts"])
    total = len(PLAYBOOKS) + len(FIGURES)
    answers = {}
    for done, each in enumerate(PLAYBOOKS):
        report(done, total, each)
        answers[each] = known.get(each) or investigation.asked(each, **_asks(each, name))
    alert = own_alert(subject, answers["case_alerts"].rows)
    space, engine = investigation.lake.config.space, investigation.engine
    prompts, background = answers["case_prompts"].table, answers["case_benign_prompts"].table
    prompts = fixed(prompts, space.dimension)
    vectors = grid(prompts["embedding"], space.dimension)
    behind = grid(background["embedding"], space.dimension)
    part = listlike(prompts, subject, alert, engine)
    sources = Sources(
        subject=subject,
        answers=answers,
        alert=alert,
        part=part,
        looks=looks(prompts, engine),
        plane=plane_of(space, behind),
        vectors=vectors,
        background=behind,
    )
    figures = {}
    for done, (each, make) in enumerate(FIGURES.items(), len(PLAYBOOKS)):
        report(done, total, f"figure: {each}")
        figures[each] = make(sources)
    report(total, total, "done")
    config = investigation.lake.config
    return Case(
        subject,
        answers,
        alert,
        figures,
        part,
        {
            "fingerprint": config.fingerprint,
            "parameters": config.parameters,
            "pseudonym_fingerprint": config.pseudonym_fingerprint,
            "embedding_model": space.model,
            "dimension": space.dimension,
            "window_seconds": config.window_seconds,
            "manifest": investigation.manifest,
        },
    )


def _asks(playbook_name: str, subject: str) -> dict[str, object]:
    return {"subject": subject} if playbook(playbook_name).parameters else {}


def fixed(records: pa.Table, dimension: int) -> pa.Table:
    """Records as they are landed: DuckDB hands vectors out as bytes of any length."""
    at = records.schema.get_field_index("embedding")
    return records.set_column(at, "embedding", records["embedding"].cast(pa.binary(dimension)))


def own_alert(subject: Subject, rows: list[dict[str, Any]]) -> Mapping[str, Any] | None:
    """The newest alert on the subject itself; a scoring's before a live look's, which knows less."""
    mine = [row for row in rows if row["relation"] == "subject" and row["subject_kind"] == subject.kind]
    if not mine:
        return None
    best = min(mine, key=lambda row: (row["is_live"], -row["as_of"].timestamp(), row["alert_id"]))
    return {
        **{name: plain(value) for name, value in best.items()},
        "evidence": json.loads(best["evidence"]),
        "provenance": json.loads(best["provenance"]),
    }


def listlike(
    prompts: pa.Table, subject: Subject, alert: Mapping[str, Any] | None, engine: Engine
) -> Mapping[str, Any] | None:
    """What of the subject looks like a list: as its alert says it, else from its newest records, a cluster's as one account's."""
    # A cluster's alert names records of some members, and no part of them all.
    if alert is not None and "part" in (found := alert["evidence"].get("look_at") or {}):
        return dict(found)
    if len(prompts) < PART_RECORDS:
        return None
    table = prompts.select(list(COLUMNS))
    at = table.schema.get_field_index("account_id")
    table = table.set_column(at, "account_id", pa.array([subject.subject_id] * len(table), pa.string()))
    for _, rows, sequence in account_reads(table, engine.parameters, engine.backend):
        return records_to_look_at(rows, sequence)
    return None
