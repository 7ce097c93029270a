"""From a proposal to a verdict in the lake: who may decide what, and when it is written.

An attack needs four eyes: it is proposed by one and approved by another, who is an approver. Only then does the lake
hear of it. Allowing an account silences its alerts, so an approver does that; the other verdicts are an investigator's.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.times import from_text
from pipeline.verdict_subjects import Asked, LakeSubjects
from pipeline.verdicts import (
    ALLOWED,
    ATTACK,
    WITHDRAWN,
    Verdict,
    read_verdicts,
    record,
    withdrawal,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pipeline.clock import Clock
    from pipeline.console.state.cases import Cases, Proposal
    from pipeline.console.state.users import User
    from pipeline.lake import Lake

FOUR_EYES = frozenset({ATTACK})
APPROVERS_ONLY = frozenset({ALLOWED})


class Forbidden(UsageError):
    """Not for this user, however it is asked for."""


def case_name(number: int) -> str:
    """How a case is named outside the console."""
    return f"case-{number}"


class VerdictFlow:
    """Proposals of one state file, verdicts of one lake."""

    def __init__(self, cases: Cases, lake: Callable[[], Lake], clock: Clock) -> None:
        # A lake remembers what it has listed and is not for several threads: each operation opens its own.
        self._cases, self._open, self._clock = cases, lake, clock
        self._publishing = threading.Lock()

    def _now(self) -> datetime:
        return self._clock.now().replace(tzinfo=None)

    def propose(
        self,
        case: int,
        user: User,
        *,
        verdict: str,
        reason: str,
        expires_at: datetime | None = None,
        alert_id: str | None = None,
    ) -> Proposal:
        """Propose a verdict on a case's subject; written at once where one person is enough.

        Raises
        ------
        UsageError
            It contradicts itself or the lake, or the user may not.
        """
        if not user.may("investigator") or (verdict in APPROVERS_ONLY and not user.may("approver")):
            msg = f"{user.name} is {user.role}; a verdict {verdict!r} takes an {'approver' if verdict in APPROVERS_ONLY else 'investigator'}"
            raise Forbidden(msg)
        about = self._cases.case(case)
        asked = Asked(
            about["subject_id"],
            verdict,
            reason.strip(),
            user.name,
            expires_at,
            alert_id or None,
            case_name(case),
            about["subject_kind"],
        )
        # Whatever is wrong with it is said to the one who proposes, not to the one who approves.
        lake = self._open()
        subjects = LakeSubjects(lake, lake.snapshot(), [about["subject_id"]])
        checked = subjects.verdict(asked, self._now())
        number = self._cases.propose(
            case,
            verdict=verdict,
            reason=checked.reason,
            who=user.name,
            members=checked.members,
            expires_at=expires_at,
            alert_id=checked.alert_id,
            decided=verdict not in FOUR_EYES,
        )
        return self._publish(number) if verdict not in FOUR_EYES else self._cases.proposal(number)

    def withdraw(self, case: int, user: User, verdict_id: str, reason: str) -> Proposal:
        """Take a verdict back; one of those that took an approver takes an approver.

        Raises
        ------
        UsageError
            There is no such verdict, it was withdrawn already, or the user may not.
        """
        snapshot = self._open().snapshot()
        found = next((each for each in read_verdicts(snapshot) if each.verdict_id == verdict_id), None)
        needed = (
            "approver"
            if found is not None and found.verdict in FOUR_EYES | APPROVERS_ONLY
            else "investigator"
        )
        if not user.may(needed):
            msg = f"{user.name} is {user.role}; to withdraw this verdict takes an {needed}"
            raise Forbidden(msg)
        row = withdrawal(snapshot, verdict_id, reason=reason, owner=user.name, decided_at=self._now())
        number = self._cases.propose(
            case,
            verdict=WITHDRAWN,
            reason=reason.strip(),
            who=user.name,
            withdraws=verdict_id,
            subject=row.subject,
            decided=True,
        )
        return self._publish(number)

    def decide(self, number: int, user: User, outcome: str, reason: str = "") -> Proposal:
        """Approve, reject or retract a proposal.

        Raises
        ------
        UsageError
            Somebody decided already, or the user may not.
        """
        proposal = self._cases.proposal(number)
        own = user.name == proposal.proposed_by
        if outcome == "approved":
            if not user.may("approver"):
                msg = f"{user.name} is {user.role}; approving takes an approver"
                raise Forbidden(msg)
            if own:
                msg = f"{user.name} proposed this; another approver has to look at it"
                raise Forbidden(msg)
        elif outcome == "rejected":
            if not user.may("approver"):
                msg = f"{user.name} is {user.role}; rejecting takes an approver"
                raise Forbidden(msg)
            if not reason.strip():
                msg = "a rejection says why"
                raise UsageError(msg)
        elif outcome == "retracted":
            if not own:
                msg = f"only {proposal.proposed_by}, who proposed this, retracts it"
                raise Forbidden(msg)
        else:
            msg = f"there is no outcome {outcome!r}"
            raise UsageError(msg)
        self._cases.decide(number, outcome, user.name, reason=reason)
        return self._publish(number) if outcome == "approved" else self._cases.proposal(number)

    def finish(self) -> int:
        """Write what was approved and did not reach the lake because the program stopped; how many these were."""
        waiting = self._cases.unpublished()
        for proposal in waiting:
            self._publish(proposal.id)
        return len(waiting)

    def _publish(self, number: int) -> Proposal:
        with self._publishing:
            proposal = self._cases.proposal(number)
            if proposal.verdict_id is None:
                verdict = as_verdict(proposal)
                # The id is made of what it says: written twice it would still be one, but once is tidier.
                lake = self._open()
                if verdict.verdict_id not in {each.verdict_id for each in read_verdicts(lake.snapshot())}:
                    record(lake, [verdict])
                self._cases.published(number, verdict.verdict_id)
            return self._cases.proposal(number)


def as_verdict(proposal: Proposal) -> Verdict:
    """What an approved proposal says, for the lake: a function of its rows, so that it can be written again."""
    decided_at = from_text(proposal.decided_at)
    assert decided_at is not None
    reason = proposal.reason
    if proposal.decided_by != proposal.proposed_by:
        reason = f"{reason} (approved by {proposal.decided_by})"
    return Verdict(
        proposal.subject_kind,
        proposal.subject_id,
        proposal.verdict,
        reason,
        proposal.proposed_by,
        decided_at,
        from_text(proposal.expires_at),
        proposal.alert_id,
        case_name(proposal.case_id),
        proposal.withdraws,
        proposal.members,
    )
