"""Cases: what people wrote, proposed and decided. Rows are only ever added."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.times import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipeline.clock import Clock
    from pipeline.console.state.database import Database

MOST_TEXT = 20_000
MOST_LINK = 2_000
OPEN_IF = (
    "(select what from case_events where case_id = cases.id and what <> 'note' order by id desc limit 1)"
)

_CASE = f"""
select cases.*, coalesce({OPEN_IF}, 'reopened') <> 'closed' as is_open,
  (select count(*) from case_events where case_id = cases.id and what = 'note') as notes,
  (select count(*) from proposals left join decisions on decisions.proposal_id = proposals.id
    where case_id = cases.id and decisions.proposal_id is null) as waiting,
  coalesce((select max(at) from case_events where case_id = cases.id), opened_at) as touched_at
from cases
"""  # noqa: S608 -- our own words; values are bound

_PROPOSAL = """
select proposals.*, decisions.outcome, decisions.reason as decision_reason, decisions.decided_by,
  decisions.decided_at, publications.verdict_id
from proposals
left join decisions on decisions.proposal_id = proposals.id
left join publications on publications.proposal_id = proposals.id
"""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A verdict that somebody proposed, and what became of it.

    ``needs_two`` says that it waited, or waits, for a second person; ``outcome`` is None while it waits; ``verdict_id``
    is set once it stands in the lake.
    """

    id: int
    case_id: int
    subject_kind: str
    subject_id: str
    members: tuple[str, ...]
    verdict: str
    reason: str
    expires_at: str | None
    alert_id: str | None
    withdraws: str | None
    proposed_by: str
    proposed_at: str
    needs_two: bool
    outcome: str | None
    decision_reason: str | None
    decided_by: str | None
    decided_at: str | None
    verdict_id: str | None

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Proposal:
        """A row of the query above."""
        values = dict(row)
        values["members"] = tuple(json.loads(values["members"]))
        values["needs_two"] = bool(values["needs_two"])
        return cls(**values)


class Cases:
    """The cases in a state file."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def _text(self) -> str:
        return str(to_text(self._clock.now().replace(tzinfo=None)))

    def open(self, kind: str, subject: str, title: str, who: str) -> int:
        """The open case about this subject, or a new one."""
        title = title.strip() or subject
        if len(title) > 200:
            msg = f"the title has {len(title)} characters; 200 are the most"
            raise UsageError(msg)
        with self._database.write() as connection:
            row = connection.execute(
                f"select id from cases where subject_kind = ? and subject_id = ? and coalesce({OPEN_IF}, '') "  # noqa: S608
                "<> 'closed' order by id desc",
                (kind, subject),
            ).fetchone()
            if row is not None:
                return int(row["id"])
            done = connection.execute(
                "insert into cases (subject_kind, subject_id, title, opened_by, opened_at) values (?, ?, ?, ?, ?)",
                (kind, subject, title, who, self._text()),
            )
            assert done.lastrowid is not None
            return done.lastrowid

    def case(self, number: int) -> dict[str, Any]:
        """One case.

        Raises
        ------
        UsageError
            There is none with this number.
        """
        with self._database.read() as connection:
            row = connection.execute(f"{_CASE} where cases.id = ?", (number,)).fetchone()
        if row is None:
            msg = f"there is no case {number}"
            raise UsageError(msg)
        return dict(row)

    def every(self, *, subject: tuple[str, str] | None = None) -> list[dict[str, Any]]:
        """Cases, the last touched first; of one subject if that is given."""
        where, values = ("", ())
        if subject is not None:
            where, values = "where subject_kind = ? and subject_id = ?", subject  # type: ignore[assignment]
        with self._database.read() as connection:
            rows = connection.execute(f"{_CASE} {where} order by touched_at desc, id desc", values).fetchall()
        return [dict(row) for row in rows]

    def events(self, number: int) -> list[dict[str, Any]]:
        """What people did in a case, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "select * from case_events where case_id = ? order by id", (number,)
            ).fetchall()
        return [dict(row) for row in rows]

    def note(self, number: int, body: str, who: str, *, link: str | None = None) -> None:
        """Write something down.

        Raises
        ------
        UsageError
            It is empty or too long, or there is no such case.
        """
        body = body.strip()
        if not body:
            msg = "the note is empty; write what you found and where"
            raise UsageError(msg)
        self._event(number, "note", body, who, link)

    def close(self, number: int, reason: str, who: str) -> None:
        """Nothing more to do here."""
        if not reason.strip():
            msg = "a case is closed with a reason; say in a sentence how it ended"
            raise UsageError(msg)
        self._event(number, "closed", reason.strip(), who, None)

    def reopen(self, number: int, reason: str, who: str) -> None:
        """There is more to do after all."""
        if not reason.strip():
            msg = "a case is opened again with a reason; say in a sentence what there is to do"
            raise UsageError(msg)
        self._event(number, "reopened", reason.strip(), who, None)

    def _event(self, number: int, what: str, body: str, who: str, link: str | None) -> None:
        self.case(number)
        _bounded("the note" if what == "note" else "the reason", body)
        _bounded("the link", link or "", MOST_LINK)
        with self._database.write() as connection:
            connection.execute(
                "insert into case_events (case_id, at, who, what, body, link) values (?, ?, ?, ?, ?, ?)",
                (number, self._text(), who, what, body, link),
            )

    def propose(
        self,
        number: int,
        *,
        verdict: str,
        reason: str,
        who: str,
        members: Sequence[str] = (),
        expires_at: datetime | None = None,
        alert_id: str | None = None,
        withdraws: str | None = None,
        subject: tuple[str, str] | None = None,
        decided: bool = False,
    ) -> int:
        """Put a verdict before others; with ``decided`` it needs nobody else and is approved at once.

        Sent again while it waits, word for word and by the same person, it is the one that waits.
        """
        case = self.case(number)
        kind, name = subject or (case["subject_kind"], case["subject_id"])
        _bounded("the reason", reason)
        now = self._text()
        said = {
            "case_id": number,
            "subject_kind": kind,
            "subject_id": name,
            "members": json.dumps(list(members)),
            "verdict": verdict,
            "reason": reason,
            "expires_at": to_text(expires_at),
            "alert_id": alert_id,
            "withdraws": withdraws,
            "proposed_by": who,
        }
        with self._database.write() as connection:
            if not decided and (waiting := _waiting(connection, said)) is not None:
                return waiting
            values = {**said, "proposed_at": now, "needs_two": int(not decided)}
            done = connection.execute(
                f"insert into proposals ({', '.join(values)}) values ({', '.join('?' * len(values))})",  # noqa: S608
                tuple(values.values()),
            )
            assert done.lastrowid is not None
            if decided:
                connection.execute(
                    "insert into decisions (proposal_id, outcome, decided_by, decided_at) values (?, 'approved', ?, ?)",
                    (done.lastrowid, who, now),
                )
            return done.lastrowid

    def proposal(self, number: int) -> Proposal:
        """One proposal.

        Raises
        ------
        UsageError
            There is none with this number.
        """
        found = self._proposals("where proposals.id = ?", (number,))
        if not found:
            msg = f"there is no proposal {number}"
            raise UsageError(msg)
        return found[0]

    def proposals(self, *, case: int | None = None, waiting: bool = False) -> list[Proposal]:
        """Proposals, newest first: of a case, or those that wait for a decision."""
        if case is not None:
            return self._proposals("where case_id = ? order by proposals.id desc", (case,))
        if waiting:
            return self._proposals("where decisions.proposal_id is null order by proposals.id desc", ())
        return self._proposals("order by proposals.id desc", ())

    def unpublished(self) -> list[Proposal]:
        """Approved, and not yet known to stand in the lake: the program stopped in between."""
        return self._proposals(
            "where decisions.outcome = 'approved' and publications.proposal_id is null order by proposals.id",
            (),
        )

    def _proposals(self, where: str, values: tuple[object, ...]) -> list[Proposal]:
        with self._database.read() as connection:
            return [Proposal.from_row(row) for row in connection.execute(f"{_PROPOSAL} {where}", values)]

    def decide(self, number: int, outcome: str, who: str, *, reason: str = "") -> None:
        """Approve, reject or retract a proposal, once.

        Raises
        ------
        UsageError
            Somebody decided already, or the file's own rule of four eyes refuses.
        """
        _bounded("the reason", reason)
        with self._database.write() as connection:
            row = connection.execute(
                "select outcome, decided_by from decisions where proposal_id = ?", (number,)
            ).fetchone()
            if row is not None:
                msg = f"proposal {number} was {row['outcome']} already, by {row['decided_by']}"
                raise UsageError(msg)
            try:
                connection.execute(
                    "insert into decisions (proposal_id, outcome, reason, decided_by, decided_at) values (?, ?, ?, ?, ?)",
                    (number, outcome, reason.strip(), who, self._text()),
                )
            except sqlite3.IntegrityError as error:
                raise UsageError(str(error)) from error

    def published(self, number: int, verdict_id: str) -> None:
        """It stands in the lake now."""
        with self._database.write() as connection:
            connection.execute(
                "insert or ignore into publications (proposal_id, verdict_id, published_at) values (?, ?, ?)",
                (number, verdict_id, self._text()),
            )


def _waiting(connection: sqlite3.Connection, said: dict[str, object]) -> int | None:
    """The proposal that says the same and waits; None: there is none."""
    same = " and ".join(f"{name} is ?" for name in said)
    row = connection.execute(
        f"select id from proposals where {same} and id not in (select proposal_id from decisions) order by id",  # noqa: S608
        tuple(said.values()),
    ).fetchone()
    return None if row is None else int(row["id"])


def _bounded(what: str, text: str, most: int = MOST_TEXT) -> None:
    if len(text) > most:
        msg = f"{what} has {len(text):,} characters; {most:,} are the most"
        raise UsageError(msg)
