"""Why an answer is empty: there may be no such account, cluster, alert, class or model in the lake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.tables import DECISIONS, SUBJECT_KINDS
from pipeline.verdicts import DECIDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a parameter names: ``queries`` of which one has a row if ``$id`` is known, and where the known ones are."""

    name: str
    queries: tuple[str, ...]
    way_out: str


_ACCOUNTS = """
select 1 from account_scores where account_id = $id
union all
select 1 from records where account_id = $id
limit 1
"""
_CLUSTERS = """
select 1 from raw.cluster_scores where cluster_id = $id or members_hash = $id
union all
select 1 from raw.clusters where cluster_id = $id
union all
select 1 from alerts where subject_kind = 'cluster' and subject_id = $id
limit 1
"""
_ALERTS = "select 1 from alerts where alert_id = $id limit 1"
_CLASSES = """
select 1 from account_scores where benign_class = $id
union all
select 1 from reference_populations where benign_class = $id
limit 1
"""
_MODELS = "select 1 from records where model = $id limit 1"
_DETECTORS = """
select 1 from account_scores where detector = $id
union all
select 1 from cluster_scores where detector = $id
union all
select 1 from alerts where detector = $id
limit 1
"""


def _one_of(name: str, *words: str) -> _Kind:
    listed = ", ".join(f"('{word}')" for word in words)
    # Words of this file, not of a user.
    query = f"select 1 from (values {listed}) as known (word) where word = $id"  # noqa: S608
    return _Kind(name, (query,), f"there are {', '.join(words[:-1])} and {words[-1]}")


_ACCOUNT = _Kind(
    "account", (_ACCOUNTS,), "the playbook case_queue lists the accounts and clusters that were judged"
)
_CLUSTER = _Kind(
    "cluster", (_CLUSTERS,), "the playbook case_queue with subject_kind=cluster lists those that were judged"
)
_SUBJECT = _Kind(
    "account or cluster", (_ACCOUNTS, _CLUSTERS), "the playbook case_queue lists those that were judged"
)
_PARAMETERS = {
    "account_id": _ACCOUNT,
    "account_a": _ACCOUNT,
    "account_b": _ACCOUNT,
    "cluster_id": _CLUSTER,
    "alert_id": _Kind("alert", (_ALERTS,), "the view alerts lists them, as does `distillwatch alerts --all`"),
    "subject": _SUBJECT,
    "subject_id": _SUBJECT,
    "benign_class": _Kind(
        "benign class", (_CLASSES,), "the playbook case_queue_facets counts those there are"
    ),
    "model": _Kind("record of the model", (_MODELS,), "the view records has the names in its column model"),
    "detector": _Kind("detector", (_DETECTORS,), "the playbook case_queue_facets counts those there are"),
    "decision": _one_of("decision", *DECISIONS),
    "subject_kind": _one_of("kind of subject", *SUBJECT_KINDS),
    "verdict": _one_of("verdict", *DECIDED, "none"),
}


def unknown_values(
    values: Mapping[str, object], found: Callable[[str, dict[str, object]], bool]
) -> list[str]:
    """A sentence for each account, cluster, alert, class, model or word that was asked about and that the lake does not know.

    Parameters
    ----------
    values
        Bound parameters of the question.
    found
        Whether a query with these parameters has a row.

    Examples
    --------
    >>> unknown_values({"account_id": "acct-17", "days": 3}, lambda query, values: True)
    []
    """
    sentences = []
    for name, kind in _PARAMETERS.items():
        value = values.get(name)
        if value is not None and not any(found(query, {"id": value}) for query in kind.queries):
            sentences.append(
                f"the lake has no {kind.name} {value!r}; letters and their case have to be the same, and {kind.way_out}"
            )
    return sentences
