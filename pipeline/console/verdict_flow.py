"""From a proposal to a verdict in the lake: who may decide what, and when it is written.

An attack needs four eyes: it is proposed by one and approved by another, who is an approver. Only then does the lake
hear of it. Allowing an account silences its alerts, so an approver does that; the other verdicts are an investigator's.
What overrules or takes back an attack or an allowance needs four eyes too, whatever it says: otherwise one person undoes
what two agreed on.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.lake_accounts import last_window_end
from pipeline.times import from_text, to_text
from pipeline.verdict_subjects import Asked, LakeSubjects
from pipeline.verdicts import (
    ALLOWED,
    ATTACK,
    WITHDRAWN,
    Verdict,
    read_verdicts,
    record,
    stand,
    withdrawal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pipeline.clock import Clock
    from pipeline.console.state.cases import Cases, Proposal
    from pipeline.console.state.users import User
    from pipeline.lake import Lake, Snapshot

FOUR_EYES = frozenset({ATTACK})
APPROVERS_ONLY = frozenset({ALLOWED})
GUARDED = FOUR_EYES | APPROVERS_ONLY
"""Where one of these stands, one person alone changes nothing."""


class Forbidden(UsageError):
    """Not for this user, however it is asked for."""


def case_name(number: int) -> str:
    """How a case is named outside the console."""
    return f"case-{number}"


def takes_two(verdict: Verdict, rows: Sequence[Verdict], as_of: datetime | None) -> bool:
    """Whether a verdict, beside all that were given, needs a second person.

    It does when it says attack, takes an attack or an allowance back, or changes for anybody which of these stands: on the
    subject itself, through a cluster on its members, or because what it takes back had overruled one.

    Parameters
    ----------
    rows
        Every verdict and withdrawal so far.
    as_of
        The time of the data.
    """
    taken = next((each for each in rows if each.verdict_id == verdict.withdraws), None)
    if verdict.verdict in FOUR_EYES or (taken is not None and taken.verdict in GUARDED):
        return True
    before, after = stand(rows, as_of), stand([*rows, verdict], as_of)
    for old, new in ((before.accounts, after.accounts), (before.clusters, after.clusters)):
        for name in old.keys() | new.keys():
            was, is_now = old.get(name), new.get(name)
            if was == is_now:
                continue
            if was is not None and was.verdict in GUARDED:
                return True
            # Where nothing stood, an approver allows alone; an old attack or allowance does not come back that way.
            if is_now is not None and is_now != verdict and is_now.verdict in GUARDED:
                return True
    return False


class VerdictFlow:
    """Proposals of one state file, verdicts of one lake."""

    def __init__(self, cases: Cases, lake: Callable[[], Lake], clock: Clock) -> None:
        # A lake remembers what it has listed and is not for several threads: each operation opens its own.
        self._cases, self._open, self._clock = cases, lake, clock
        # Between the look at what stands and the verdict that goes by it nobody publishes another.
        self._publishing = threading.RLock()

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
        with self._publishing:
            two = self._takes_two(checked, self._open().snapshot())
            number = self._cases.propose(
                case,
                verdict=verdict,
                reason=checked.reason,
                who=user.name,
                members=checked.members,
                expires_at=expires_at,
                alert_id=checked.alert_id,
                decided=not two,
            )
            return self._cases.proposal(number) if two else self._publish(number)

    def withdraw(self, case: int, user: User, verdict_id: str, reason: str) -> Proposal:
        """Take a verdict back, or propose that where an attack or an allowance is concerned.

        Raises
        ------
        UsageError
            There is no such verdict, it was withdrawn already, or the user may not.
        """
        if not user.may("investigator"):
            msg = f"{user.name} is {user.role}; to withdraw a verdict takes an investigator"
            raise Forbidden(msg)
        with self._publishing:
            snapshot = self._open().snapshot()
            row = withdrawal(
                snapshot, verdict_id, reason=reason.strip(), owner=user.name, decided_at=self._now()
            )
            two = self._takes_two(row, snapshot)
            number = self._cases.propose(
                case,
                verdict=WITHDRAWN,
                reason=row.reason,
                who=user.name,
                withdraws=verdict_id,
                subject=row.subject,
                decided=not two,
            )
            return self._cases.proposal(number) if two else self._publish(number)

    def _takes_two(self, verdict: Verdict, snapshot: Snapshot) -> bool:
        # What was approved and did not reach the lake yet will: nobody undoes it alone meanwhile.
        rows = [*read_verdicts(snapshot), *map(as_verdict, self._cases.unpublished())]
        # The data's end costs a look at every window, and only what expires asks for it.
        expires = any(each.expires_at is not None for each in rows)
        return takes_two(verdict, rows, _end(snapshot) if expires else None)

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
        with self._publishing:
            if outcome == "approved" and proposal.outcome is None:
                self._still_holds(proposal)
            self._cases.decide(number, outcome, user.name, reason=reason)
            return self._publish(number) if outcome == "approved" else self._cases.proposal(number)

    def _still_holds(self, proposal: Proposal) -> None:
        """Refuse to approve what time or others made void while it waited."""
        snapshot = self._open().snapshot()
        if proposal.withdraws is not None:
            withdrawal(
                snapshot,
                proposal.withdraws,
                reason=proposal.reason,
                owner=proposal.proposed_by,
                decided_at=self._now(),
            )
        expires_at = from_text(proposal.expires_at)
        end = _end(snapshot) if expires_at is not None else None
        if expires_at is not None and end is not None and expires_at <= end:
            msg = (
                f"it would have expired at {to_text(expires_at)}, before the lake's newest window ends ({to_text(end)}); "
                "reject it, and propose it anew with a later date"
            )
            raise UsageError(msg)

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


def _end(snapshot: Snapshot) -> datetime | None:
    return last_window_end(snapshot, snapshot.config.window_seconds)


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
