"""What was asked and what came back, so that whoever sees a figure can ask again and compare."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.warehouse.tree import playbook

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One playbook, the values bound to its parameters, and its answer.

    ``digest`` is SHA-256 over the rows as canonical JSON: the same lake gives the same.
    """

    playbook: str
    parameters: Mapping[str, Any]
    sql: str
    table: pa.Table
    digest: str

    @classmethod
    def of(cls, name: str, given: Mapping[str, object], table: pa.Table) -> Asked:
        """With defaults filled in as they were bound."""
        file = playbook(name)
        bound = file.bind({key: str(value) for key, value in given.items()})
        return cls(name, bound, file.text.rstrip(), table, rows_digest(table))

    @property
    def rows(self) -> list[Row]:
        """The answer as Python values."""
        rows: list[Row] = self.table.to_pylist()
        return rows

    def to_json(self) -> Row:
        """What a case file keeps of it."""
        return {
            "playbook": self.playbook,
            "parameters": {name: plain(value) for name, value in self.parameters.items()},
            "sql": self.sql,
            "rows": self.table.num_rows,
            "rows_sha256": self.digest,
        }


def plain(value: Any) -> Any:  # noqa: PLR0911 -- a case for each kind
    r"""As JSON has it: times as text, bytes as hex, whole numbers beyond 53 bits as text, no NaN.

    Examples
    --------
    >>> plain({"a": datetime(2026, 1, 2), "b": b"\x01", "c": float("nan"), "d": 1 << 60})
    {'a': '2026-01-02T00:00:00', 'b': '01', 'c': None, 'd': '1152921504606846976'}
    """
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return plain(int(value) if value == value.to_integral_value() else float(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else str(value)
    return value


def canonical_json(value: Any) -> str:
    r"""One text for one value: sorted keys, ASCII, nothing that could end an HTML element.

    Examples
    --------
    >>> canonical_json({"b": "</script>", "a": [1.5, None]})
    '{"a":[1.5,null],"b":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    # These three occur in JSON inside strings alone, where an escape says the same.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def rows_digest(table: pa.Table) -> str:
    """SHA-256 over the rows, in hex."""
    state = hashlib.sha256()
    for batch in table.to_batches():
        for row in batch.to_pylist():
            state.update(canonical_json(row).encode())
            state.update(b"\n")
    return state.hexdigest()
