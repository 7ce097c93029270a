"""Judged accounts and clusters as rows of the result tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.tables import ACCOUNT_SCORES, CLUSTER_SCORES, CLUSTERS
from pipeline.times import LAST, moment
from pipeline.verdict_effect import Held, list_q_values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from pipeline.alerts import Scope
    from pipeline.cluster_scoring import Groups
    from pipeline.clusters.ties import AccountTies
    from pipeline.detectors.base import Detector, Judgement
    from pipeline.detectors.reference import Reference
    from pipeline.signals import SignalTable

# A p-value below this that does not make the list is no acquittal.
SUSPICIOUS = 0.05


@dataclass(frozen=True, slots=True)
class Subjects:
    """Accounts (or clusters), how they were judged, and by what.

    ``first`` and ``last`` int64[n] are starts of windows; ``window`` their length, all in microseconds; ``q``
    float64[n] Benjamini-Hochberg over these subjects, see `list_q_values`; ``held`` the verdicts on them.
    """

    table: SignalTable
    judgement: Judgement
    q: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    window: int
    detector: str
    reference: Reference
    scope: Scope
    as_of: datetime | None
    fdr: float
    held: Held

    @classmethod
    def of(
        cls,
        table: SignalTable,
        judgement: Judgement,
        first: NDArray[np.int64],
        last: NDArray[np.int64],
        window: int,
        *,
        detector: str,
        reference: Reference,
        scope: Scope,
        as_of: datetime | None,
        fdr: float,
        held: Held | None = None,
    ) -> Subjects:
        """Judged rows with their place in the list; ``held``: the verdicts on them, default none."""
        held = held or Held.nothing(len(table))
        q = list_q_values(judgement.p_value, held.allowed)
        return cls(table, judgement, q, first, last, window, detector, reference, scope, as_of, fdr, held)

    def decision(self, row: int) -> str:
        """``alert``, ``allowed`` (an alert but for a verdict), ``clear``, or ``cannot_tell``.

        The last says: too few records, or suspicious without being in the list.
        """
        p = self.judgement.p_value[row]
        if np.isnan(p):
            return "cannot_tell"
        if self.q[row] <= self.fdr:
            return "allowed" if self.held.allowed[row] else "alert"
        return "cannot_tell" if p < SUSPICIOUS else "clear"

    @property
    def listed(self) -> NDArray[np.bool_]:
        """Those in the list, allowed or not."""
        return np.asarray(self.q <= self.fdr)

    def last_seen(self, row: int) -> datetime:
        """End of the last window."""
        return moment(int(self.last[row]) + self.window)

    def row(self, row: int) -> dict[str, Any]:
        """The columns that accounts and clusters share."""
        return {
            "as_of": self.as_of,
            "lookback": self.scope.lookback,
            "records": int(self.table.records[row]),
            "score": _value(self.judgement.score[row]),
            "p_value": _value(self.judgement.p_value[row]),
            "q_value": _value(self.q[row]),
            "decision": self.decision(row),
            "verdict_id": self.held.verdict_id[row],
            "detector": self.detector,
            "reference": self.reference.fingerprint,
            "first_seen": moment(int(self.first[row])),
            "last_seen": self.last_seen(row),
            **{name: _value(values[row]) for name, values in self.table.columns.items()},
        }


def judged(
    detector: Detector,
    table: SignalTable,
    reference: Reference,
    *,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    window: int,
    scope: Scope,
    as_of: datetime | None,
    fdr: float,
    held: Held | None = None,
    margin: float = 1.0,
) -> Subjects:
    """Judge the rows of a signal table.

    Parameters
    ----------
    held
        The verdicts on them, default none.
    margin
        How many times too small p-values by this reference may be; they are made that many times larger.
    """
    judgement = detector.judge(table, reference)
    if margin > 1.0:
        judgement = replace(judgement, p_value=np.minimum(1.0, margin * judgement.p_value))
    return Subjects.of(
        table,
        judgement,
        first,
        last,
        window,
        detector=detector.name,
        reference=reference,
        scope=scope,
        as_of=as_of,
        fdr=fdr,
        held=held,
    )


def account_rows(accounts: Subjects, benign_class: Sequence[str | None]) -> pa.Table:
    """`account_scores`, a row for every account; ``benign_class`` is whose like each is."""
    fingerprint = accounts.reference.fingerprint
    n = len(accounts.table)
    columns: dict[str, Any] = {
        "account_id": pa.array(list(accounts.table.account_id), pa.string()),
        "as_of": [accounts.as_of] * n,
        "lookback": [accounts.scope.lookback] * n,
        "records": accounts.table.records,
        "score": _nullable(accounts.judgement.score),
        "p_value": _nullable(accounts.judgement.p_value),
        "q_value": _nullable(accounts.q),
        "decision": [accounts.decision(row) for row in range(n)],
        "verdict_id": pa.array(list(accounts.held.verdict_id), pa.string()),
        "benign_class": pa.array(benign_class, pa.string()),
        "detector": [accounts.detector] * n,
        "reference": [fingerprint] * n,
        "first_seen": pa.array(accounts.first, pa.int64()).cast(pa.timestamp("us")),
        "last_seen": pa.array(np.minimum(accounts.last + accounts.window, LAST), pa.int64()).cast(
            pa.timestamp("us")
        ),
        **{name: _nullable(values) for name, values in accounts.table.columns.items()},
    }
    return pa.table([columns[name] for name in ACCOUNT_SCORES.names], schema=ACCOUNT_SCORES)


def cluster_rows(subjects: Subjects, groups: Groups) -> pa.Table:
    """`cluster_scores`, a row for every cluster."""
    rows = [
        {
            **subjects.row(number),
            "cluster_id": name,
            "members": len(cluster.members),
            "links": sum(cluster.links) // 2,
            "shared": list(cluster.shared),
            "members_hash": cluster.cluster_id,
            **{f"group_{key}": _value(each) for key, each in cluster.numbers.items()},
        }
        for number, (cluster, name) in enumerate(zip(groups.clusters, groups.names, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=CLUSTER_SCORES)


def member_rows(groups: Groups, ties: AccountTies, as_of: datetime | None) -> pa.Table:
    """`clusters`, a row for every member."""
    records = dict(zip(ties.account_id, ties.records.tolist(), strict=True))
    rows = [
        {
            "cluster_id": name,
            "account_id": member,
            "as_of": as_of,
            "records": records[member],
            "centroid_cosine": cosine,
            "links": links,
            "shared": list(cluster.shared),
            "in_cluster_since": groups.since.get((name, member), as_of),
        }
        for cluster, name in zip(groups.clusters, groups.names, strict=True)
        for member, cosine, links in zip(cluster.members, cluster.cosine, cluster.links, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=CLUSTERS)


def _value(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))
