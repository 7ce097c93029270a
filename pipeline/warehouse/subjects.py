"""Why an answer about somebody is empty: there may be no such account, cluster or alert in the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ACCOUNT = """
select 1 from account_scores where account_id = $id
union all
select 1 from records where account_id = $id
limit 1
"""
_CLUSTER = """
select 1 from raw.cluster_scores where cluster_id = $id or members_hash = $id
union all
select 1 from raw.clusters where cluster_id = $id
union all
select 1 from alerts where subject_kind = 'cluster' and subject_id = $id
limit 1
"""
_ALERT = "select 1 from alerts where alert_id = $id limit 1"
_LOOK = "ids are compared letter by letter, upper and lower case too"

_PARAMETERS = {
    "account_id": ("account", [_ACCOUNT]),
    "account_a": ("account", [_ACCOUNT]),
    "account_b": ("account", [_ACCOUNT]),
    "cluster_id": ("cluster", [_CLUSTER]),
    "alert_id": ("alert", [_ALERT]),
    "subject": ("account or cluster", [_ACCOUNT, _CLUSTER]),
    "subject_id": ("account or cluster", [_ACCOUNT, _CLUSTER]),
}
_WAYS_OUT = {
    "account": "the playbook case_queue lists the accounts and clusters that were judged",
    "cluster": "the playbook case_queue with subject_kind=cluster lists those that were judged",
    "alert": "the view alerts lists them, as does `distillwatch alerts --all`",
    "account or cluster": "the playbook case_queue lists those that were judged",
}


def unknown_subjects(
    values: Mapping[str, object], found: Callable[[str, dict[str, object]], bool]
) -> list[str]:
    """A sentence for each account, cluster or alert that was asked about and that the lake does not know.

    Parameters
    ----------
    values
        Bound parameters of the question.
    found
        Whether a query with these parameters has a row.

    Examples
    --------
    >>> unknown_subjects({"account_id": "acct-17", "days": 3}, lambda query, values: True)
    []
    """
    sentences = []
    for name, (kind, queries) in _PARAMETERS.items():
        value = values.get(name)
        if value is not None and not any(found(query, {"id": value}) for query in queries):
            sentences.append(f"the lake has no {kind} {value!r}; {_LOOK}, and {_WAYS_OUT[kind]}")
    return sentences
