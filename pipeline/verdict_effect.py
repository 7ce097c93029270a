"""What standing verdicts change in a scoring, and nothing else.

An allowed account is scored like everybody; where it would be an alert its decision is ``allowed``, and it is not one of
the hypotheses of the false discovery rate. An account found attacking does not belong to the population that others are
ranked in. A benign verdict changes no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.detectors.base import MIN_RECORDS
from pipeline.detectors.fdr import q_values
from pipeline.signals import Population, SignalTable
from pipeline.times import to_text
from pipeline.verdicts import ALLOWED, ATTACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.lake_accounts import LakeAccounts
    from pipeline.verdicts import Standing, Verdict


@dataclass(frozen=True, slots=True)
class Held:
    """Of n judged accounts or clusters: which are allowed, bool[n], and the id of the verdict on each."""

    allowed: NDArray[np.bool_]
    verdict_id: Sequence[str | None]

    @classmethod
    def nothing(cls, n: int) -> Held:
        """No verdict on anybody."""
        return cls(np.zeros(n, np.bool_), [None] * n)

    @classmethod
    def accounts(cls, account_ids: Sequence[str], standing: Standing) -> Held:
        """What holds for accounts."""
        return cls(standing.rows(account_ids, ALLOWED), standing.verdict_ids(account_ids))

    @classmethod
    def clusters(
        cls, cluster_ids: Sequence[str], members: Sequence[Sequence[str]], standing: Standing
    ) -> Held:
        """What holds for clusters: their own verdict; one whose members are all allowed is allowed too."""
        own = [standing.clusters.get(name) for name in cluster_ids]
        everybody = [bool(len(names)) and bool(standing.rows(names, ALLOWED).all()) for names in members]
        return cls(
            np.array(
                [
                    all_allowed if verdict is None else verdict.verdict == ALLOWED
                    for verdict, all_allowed in zip(own, everybody, strict=True)
                ],
                np.bool_,
            ),
            [None if verdict is None else verdict.verdict_id for verdict in own],
        )


def list_q_values(p_values: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Benjamini-Hochberg over those who are not allowed; for an allowed one, over all: what it would have had.

    Examples
    --------
    >>> list_q_values(np.array([0.01, 0.02, 0.03]), np.array([True, False, False])).round(3).tolist()
    [0.03, 0.03, 0.03]
    """
    return np.where(allowed, q_values(p_values), q_values(np.where(allowed, np.nan, p_values)))


def without_attackers(table: SignalTable, standing: Standing) -> SignalTable:
    """The accounts that others may be ranked among."""
    return table.take(~standing.rows(table.account_id, ATTACK))


def population_without_attackers(lake: LakeAccounts, standing: Standing) -> tuple[Population, int]:
    """All records but those of accounts found attacking, and how many scorable accounts sent them."""
    attack = standing.rows(lake.table.account_id, ATTACK)
    scorable = int((lake.table.records[~attack] >= MIN_RECORDS).sum())
    if not attack.any():
        return lake.population, scorable
    population = Population.empty()
    for part in lake.parts:
        population = population.plus(Population.of(part.take(~standing.rows(part.account_id, ATTACK))))
    return population, scorable


def account_evidence(name: str, standing: Standing) -> dict[str, Any]:
    """What an alert about an account says of the verdict on it; nothing without one."""
    verdict = standing.accounts.get(name)
    return {} if verdict is None else {"verdict": _said(verdict)}


def cluster_evidence(cluster_id: str, members: Sequence[str], standing: Standing) -> dict[str, Any]:
    """What an alert about a cluster says of verdicts: on itself, and on which members."""
    own = standing.clusters.get(cluster_id)
    on_members = {
        name: _said(verdict)
        for name in sorted(members)
        if (verdict := standing.accounts.get(name)) is not None and verdict is not own
    }
    return {
        **({} if own is None else {"verdict": _said(own)}),
        **({"member_verdicts": on_members} if on_members else {}),
        **(
            {"allowed_members": allowed}
            if (allowed := [name for name in sorted(members) if name in standing.allowed])
            else {}
        ),
    }


def _said(verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict_id": verdict.verdict_id,
        "verdict": verdict.verdict,
        "subject": verdict.subject_id,
        "owner": verdict.owner,
        "reason": verdict.reason,
        "expires_at": to_text(verdict.expires_at),
    }


def summary(standing: Standing) -> str:
    """How many verdicts were used, and for what."""
    if standing.digest is None:
        return "no verdicts"
    counts = standing.counts()
    words = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return (
        f"{sum(counts.values()):,} verdicts used ({words}): {len(standing.attack):,} accounts left out of the population, "
        f"{len(standing.allowed):,} out of the alert list"
    )
