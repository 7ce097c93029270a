"""The records that an investigator should read first, of every account and cluster in the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.lake_records import record_blocks
from pipeline.records_to_look_at import LIMIT, records_to_look_at
from pipeline.signals.sequence import COLUMNS, NEWEST
from pipeline.signals.sequence.reading import account_reads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from pipeline.alerts import Scope
    from pipeline.clusters.find import Cluster
    from pipeline.engine import Engine
    from pipeline.lake import Snapshot


MEMBERS = 5
"""Members of a cluster whose records are named."""

EACH = LIMIT // MEMBERS
"""Records named of each of them."""


def telling_records(
    snapshot: Snapshot,
    engine: Engine,
    accounts: Sequence[str],
    scope: Scope,
    vector: Mapping[str, int] | None,
    limit: int = LIMIT,
) -> dict[str, dict[str, Any]]:
    """What `records_to_look_at` says of each account, from the records that its signals were read from; ``limit`` of each."""
    if not accounts:
        return {}
    blocks = record_blocks(snapshot, accounts, scope.start, scope.stop, COLUMNS, vector=vector, newest=NEWEST)
    return telling_of(blocks, engine, limit)


def telling_of(blocks: Iterable[pa.Table], engine: Engine, limit: int = LIMIT) -> dict[str, dict[str, Any]]:
    """The same of records that were read already, in blocks that share no account."""
    return {
        account: records_to_look_at(rows, sequence, limit)
        for block in blocks
        for account, rows, sequence in account_reads(block, engine.parameters, engine.backend)
    }


def most_tied(cluster: Cluster) -> list[str]:
    """The members whose records are named: those with the most ties, at most `MEMBERS`, by name where they have as many."""
    order = sorted(zip(cluster.links, cluster.members, strict=True), key=lambda each: (-each[0], each[1]))
    return [name for _, name in order[:MEMBERS]]


def cluster_records(cluster: Cluster, telling: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """JSON-ready: records of the most tied members, each with its account.

    Parameters
    ----------
    telling
        From `telling_records` of these members, `EACH` records of each.
    """
    found = [(name, telling[name]) for name in most_tied(cluster) if name in telling]
    return {
        "sentence": (
            f"Of its {len(cluster.members)} accounts the {len(found)} with the most ties, of each the at most {EACH} records "
            "that look most like lines of a list."
        ),
        "accounts": [{"account_id": name, "sentence": each["sentence"]} for name, each in found],
        "records": [{"account_id": name, **record} for name, each in found for record in each["records"]],
    }
