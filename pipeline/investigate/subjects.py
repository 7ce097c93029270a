"""Whom a case is about: an account, or a cluster by its id or name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.investigate.asked import Asked

ACCOUNT, CLUSTER = "account", "cluster"


@dataclass(frozen=True, slots=True)
class Subject:
    """``accounts`` is sorted by when each was first seen, and has one for an account."""

    kind: str
    subject_id: str
    accounts: tuple[str, ...]

    @property
    def is_cluster(self) -> bool:
        """Whether several accounts are meant."""
        return self.kind == CLUSTER

    @property
    def it(self) -> str:
        """How sentences name it."""
        return (
            self.subject_id
            if self.subject_id.startswith(f"{self.kind}-")
            else f"The {self.kind} {self.subject_id}"
        )


def find_subject(name: str, accounts: Asked, alerts: Asked) -> Subject:
    """Whom ``name`` means, by what `case_accounts` and `case_alerts` answered.

    Raises
    ------
    UsageError
        Nothing in the lake has that name.
    """
    rows: list[dict[str, Any]] = accounts.rows
    found = tuple(row["account_id"] for row in rows)
    if not found:
        msg = (
            f"the lake knows no account or cluster {name!r}; "
            "the views `alerts`, `account_scores` and `clusters` list what there is"
        )
        raise UsageError(msg)
    if found == (name,) and not any(
        row["relation"] == "subject" and row["subject_kind"] == CLUSTER for row in alerts.rows
    ):
        return Subject(ACCOUNT, name, found)
    return Subject(CLUSTER, name, found)
