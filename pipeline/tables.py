"""The Arrow schemas of the result tables: what `score` and `replay` write and what SQL reads.

Each table lies in ``tables/<table>/<name>.parquet``; the manifest names the live files. Column order is
part of the format. Times are naive UTC microseconds. A value that could not be computed is null, never 0.
A table without a live file is empty: `empty_table` gives its columns.
"""

from __future__ import annotations

import pyarrow as pa

from pipeline.clusters.group_signals import GROUP_SIGNALS
from pipeline.clusters.rows import CLUSTER_CHANGES, CLUSTER_EDGES
from pipeline.errors import UsageError
from pipeline.signals.every import EVERY

TIMESTAMP = pa.timestamp("us")

SIGNAL_COLUMNS = tuple(EVERY)
"""One column per signal in use, in the order of `pipeline.signals.every.EVERY`."""

_SIGNAL_FIELDS = tuple(pa.field(name, pa.float64()) for name in SIGNAL_COLUMNS)

# What a scoring run says of one subject. "cannot_tell" is not "clear": too few records or too few signals. "allowed"
# would be an alert, had no verdict allowed it.
DECISIONS = ("alert", "allowed", "clear", "cannot_tell")

SUBJECT_KINDS = ("account", "cluster")

_JUDGED = (
    pa.field("as_of", TIMESTAMP, nullable=False),
    pa.field("lookback", pa.int64()),  # seconds before as_of; null: everything landed
    pa.field("records", pa.int64(), nullable=False),
    pa.field("score", pa.float64()),
    pa.field("p_value", pa.float64()),
    pa.field("q_value", pa.float64()),  # Benjamini-Hochberg over the run
    pa.field("decision", pa.string(), nullable=False),  # one of DECISIONS
    pa.field("verdict_id", pa.string()),  # the verdict that stands as of `as_of`, if any
)

ACCOUNT_SCORES = pa.schema(
    [
        pa.field("account_id", pa.string(), nullable=False),
        *_JUDGED,
        pa.field("benign_class", pa.string()),
        pa.field("detector", pa.string(), nullable=False),
        pa.field("reference", pa.string()),  # fingerprint, joins reference_populations
        pa.field("first_seen", TIMESTAMP),
        pa.field("last_seen", TIMESTAMP),
        *_SIGNAL_FIELDS,
    ]
)

CLUSTERS = pa.schema(
    [
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("account_id", pa.string(), nullable=False),
        pa.field("as_of", TIMESTAMP, nullable=False),
        pa.field("records", pa.int64(), nullable=False),
        pa.field("centroid_cosine", pa.float64()),  # of this member with the cluster without it
        pa.field("links", pa.int64(), nullable=False),  # other members it is linked to
        pa.field("shared", pa.list_(pa.string()), nullable=False),  # what the links rest on, sorted
        pa.field("in_cluster_since", TIMESTAMP),  # as of which run it joined, without a break since
    ]
)

CLUSTER_SCORES = pa.schema(
    [
        pa.field("cluster_id", pa.string(), nullable=False),
        *_JUDGED,
        pa.field("members", pa.int64(), nullable=False),
        pa.field("links", pa.int64(), nullable=False),
        pa.field("shared", pa.list_(pa.string()), nullable=False),
        pa.field("members_hash", pa.string()),  # the name made of today's members alone
        *(pa.field(f"group_{name}", pa.float64()) for name in GROUP_SIGNALS),
        pa.field("detector", pa.string(), nullable=False),
        pa.field("reference", pa.string()),
        pa.field("first_seen", TIMESTAMP),
        pa.field("last_seen", TIMESTAMP),
        *_SIGNAL_FIELDS,
    ]
)

ALERTS = pa.schema(
    [
        pa.field("alert_id", pa.string(), nullable=False),
        pa.field("subject_kind", pa.string(), nullable=False),  # one of SUBJECT_KINDS
        pa.field("subject_id", pa.string(), nullable=False),
        pa.field("members", pa.list_(pa.string()), nullable=False),  # account ids, sorted
        pa.field("detector", pa.string(), nullable=False),
        pa.field("first_seen", TIMESTAMP),
        pa.field("last_seen", TIMESTAMP),
        pa.field("score", pa.float64()),
        pa.field("p_value", pa.float64()),
        pa.field("evidence", pa.string(), nullable=False),  # JSON object
        pa.field("provenance", pa.string(), nullable=False),  # JSON object
        pa.field("as_of", TIMESTAMP, nullable=False),
        pa.field("fdr", pa.float64()),  # nominal rate of the list it belongs to; null: a live look
    ]
)

REFERENCE_POPULATIONS = pa.schema(
    [
        pa.field("reference", pa.string(), nullable=False),  # fingerprint over all its rows
        pa.field("name", pa.string(), nullable=False),  # "shipped", "lake"
        pa.field("as_of", TIMESTAMP),
        pa.field("benign_class", pa.string()),  # null: the whole population
        pa.field("signal", pa.string(), nullable=False),  # a signal's name, or "score"
        pa.field("accounts", pa.int64(), nullable=False),  # with a value
        pa.field("missing", pa.int64(), nullable=False),  # without one
        pa.field("median", pa.float64()),
        pa.field("mad", pa.float64()),
        # Ascending, evenly spaced, ends included.
        pa.field("quantiles", pa.list_(pa.float64()), nullable=False),
        # Of `population_mmd2` only: the population's records, then its kernel_mean.
        pa.field("vector", pa.list_(pa.float64())),
    ]
)

VERDICTS = pa.schema(
    [
        pa.field("verdict_id", pa.string(), nullable=False),
        pa.field("subject_kind", pa.string(), nullable=False),
        pa.field("subject_id", pa.string(), nullable=False),
        # "attack", "benign", "allowed", "undecided"; "withdrawn" takes back what `withdraws` names.
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("owner", pa.string(), nullable=False),
        pa.field("decided_at", TIMESTAMP, nullable=False),
        pa.field("expires_at", TIMESTAMP),  # stands as of times before it; null: for ever
        pa.field("alert_id", pa.string()),
        pa.field("case_id", pa.string()),
        pa.field("withdraws", pa.string()),  # a verdict_id
        pa.field("members", pa.list_(pa.string())),  # of a cluster when it was decided, sorted
    ]
)

TABLES: dict[str, pa.Schema] = {
    "account_scores": ACCOUNT_SCORES,
    "cluster_scores": CLUSTER_SCORES,
    "clusters": CLUSTERS,
    "cluster_edges": CLUSTER_EDGES,
    "cluster_changes": CLUSTER_CHANGES,
    "alerts": ALERTS,
    "reference_populations": REFERENCE_POPULATIONS,
    "verdicts": VERDICTS,
}


def table_schema(name: str) -> pa.Schema:
    """Schema of a result table.

    Raises
    ------
    UsageError
        There is no such table.
    """
    try:
        return TABLES[name]
    except KeyError:
        msg = f"there is no result table {name!r}; there are {', '.join(sorted(TABLES))}"
        raise UsageError(msg) from None


def empty_table(name: str) -> pa.Table:
    """No rows of a result table.

    Examples
    --------
    >>> empty_table("alerts").num_rows
    0
    """
    return table_schema(name).empty_table()
