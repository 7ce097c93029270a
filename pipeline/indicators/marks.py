"""Imports: which accounts a bundle names, kept in the lake beside everything else that was found.

An import is one file ``indicators/<digest>.json``, put if absent like everything in a lake and never changed. It is read as
``raw.indicator_marks``; no scoring reads it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.indicators.reading import Shared, read_bundle
from pipeline.lake.documents import canonical
from pipeline.lake.paths import INDICATORS
from pipeline.times import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from pipeline.indicators.hashing import RecipientKey
    from pipeline.lake import Lake

    Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found: the bundle, the marks, and the file they are kept in."""

    shared: Shared
    marks: tuple[Mapping[str, Any], ...]
    file: str

    @property
    def accounts(self) -> tuple[str, ...]:
        """Accounts that match, sorted."""
        return tuple(sorted({mark["account_id"] for mark in self.marks}))

    @property
    def unmatched(self) -> int:
        """Indicators that nothing in the lake matches."""
        return len(self.shared.indicators) - len({mark["indicator_id"] for mark in self.marks})


def import_bundle(
    lake: Lake, data: bytes, key: RecipientKey, rows: Iterable[Row], *, who: str, now: datetime
) -> Imported:
    """Mark the accounts that a bundle names.

    Parameters
    ----------
    data
        The bundle's JSON.
    rows
        Of the playbook `identifiers_in_use`.
    who, now
        Recorded with it.

    Raises
    ------
    UsageError
        The bundle is wrong, or was hashed with another key.
    """
    shared = read_bundle(data, key.fingerprint)
    wanted: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for each in shared.indicators:
        wanted[each.kind, each.hashed].append(each)
    hashes: dict[tuple[str, str], str] = {}
    marks = []
    for row in rows:
        identifier = row["kind"], row["value"]
        if identifier not in hashes:
            hashes[identifier] = key.hash(*identifier)
        marks += [
            {
                "account_id": row["account_id"],
                "kind": row["kind"],
                "indicator_id": each.indicator_id,
                "campaign": each.campaign,
                "confidence": each.confidence,
                "valid_from": to_text(each.valid_from),
                "valid_until": to_text(each.valid_until),
            }
            for each in wanted.get((row["kind"], hashes[identifier]), ())
        ]
    marks.sort(key=lambda mark: (mark["account_id"], mark["kind"], mark["indicator_id"]))
    document = {
        "bundle_sha256": hashlib.sha256(data).hexdigest(),
        "salt": key.fingerprint,
        "sender": shared.sender,
        "tlp": shared.tlp,
        "indicators": len(shared.indicators),
        "imported_by": who,
        "imported_at": to_text(from_text(now)),
        "marks": marks,
    }
    encoded = canonical(document)
    name = f"{INDICATORS}/{hashlib.blake2b(encoded, digest_size=16).hexdigest()}.json"
    lake.store.put_bytes(encoded, name)
    return Imported(shared, tuple(marks), name)
