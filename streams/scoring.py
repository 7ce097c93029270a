"""The seam for live scoring: what a worker hands to a scorer, and what it expects back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa


class LiveScorer(Protocol):
    """Looks at accounts as their records arrive.

    Both calls block and run in a landing thread. An error in them is counted and logged, and never stops
    landing: every alert can be found again from the lake.
    """

    def observe(self, accepted: pa.Table) -> Sequence[str]:
        """Count accepted records; returns the accounts that have reached a look (50, 100, 200, … records)."""
        ...

    def look(self, accounts: Sequence[str], held: Sequence[pa.Table]) -> Sequence[Mapping[str, Any]]:
        """Judge accounts by what is landed plus what is held in memory; returns the alerts raised.

        Each alert is a JSON-ready mapping with at least ``alert_id`` and ``detector``.
        """
        ...
