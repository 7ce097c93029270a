"""The records that an investigator should read first, of every account in the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.lake_records import record_blocks
from pipeline.records_to_look_at import records_to_look_at
from pipeline.signals.sequence import COLUMNS, NEWEST
from pipeline.signals.sequence.reading import account_reads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.alerts import Scope
    from pipeline.engine import Engine
    from pipeline.lake import Snapshot


def telling_records(
    snapshot: Snapshot,
    engine: Engine,
    accounts: Sequence[str],
    scope: Scope,
    vector: Mapping[str, int] | None,
) -> dict[str, dict[str, Any]]:
    """What `records_to_look_at` says of each account, from the records that its signals were read from."""
    if not accounts:
        return {}
    blocks = record_blocks(snapshot, accounts, scope.start, scope.stop, COLUMNS, vector=vector, newest=NEWEST)
    return {
        account: records_to_look_at(rows, sequence)
        for block in blocks
        for account, rows, sequence in account_reads(block, engine.parameters, engine.backend)
    }
