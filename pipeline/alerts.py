"""Alerts: what is said of an account or a cluster, by what it was judged, and how to derive it again.

An alert's id depends on what was judged and by what (members, the profile's digest, time range, detector and
reference), not on when or where: live, replayed and ingested copies of one lake raise the same alerts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.detectors.reference import Reference
from pipeline.detectors.robust import shipped_references
from pipeline.errors import LakeError
from pipeline.evidence import evidence
from pipeline.lake.documents import canonical
from pipeline.lake.segments import code_fingerprint
from pipeline.tables import ALERTS, empty_table
from pipeline.times import from_text, moment, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.lake import Lake, Snapshot
    from pipeline.lake.store import Store
    from pipeline.profiles import Profiles
    from pipeline.score_tables import Subjects

LIVE = "alerts"
"""Folder of the lake with the alerts that workers raised, one file each."""

REFERENCES = "references"
"""Folder of the lake with the shipped references that live alerts were judged by, one file each."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which records were judged, and by what.

    Parameters
    ----------
    vector
        Chain key to offset: only records below.
    manifest
        Number of the manifest that was read.
    parameters
        Fingerprint of the profile's constants.
    detector
        Fingerprint of the detector.
    reference
        Fingerprint of the reference population.
    start, stop
        Event time range of the windows, naive UTC; None is no bound.
    lookback
        Seconds before ``as_of``; None: everything.
    look
        The live look (number of records), or None for a scoring run.
    verdicts
        Digest of the verdicts that stood (`pipeline.verdicts.Standing`); None: none did.
    groups
        Fingerprint of what clusters were judged by; None: an account was judged.
    """

    vector: Mapping[str, int]
    manifest: int
    parameters: str
    detector: str
    reference: str
    start: datetime | None = None
    stop: datetime | None = None
    lookback: int | None = None
    look: int | None = None
    verdicts: str | None = None
    groups: str | None = None

    def to_json(self, profile: str, records: str | None = None) -> dict[str, Any]:
        """The alert's provenance.

        Parameters
        ----------
        profile
            Digest of the judged profile.
        records
            Digest of what the subject's landed records say; None: only the profile was judged.
        """
        return {
            "vector": dict(sorted(self.vector.items())),
            "manifest": self.manifest,
            "parameters": self.parameters,
            "detector": self.detector,
            "reference": self.reference,
            "start": to_text(self.start),
            "stop": to_text(self.stop),
            "lookback": self.lookback,
            "look": self.look,
            "verdicts": self.verdicts,
            "profile": profile,
            "records": records,
            "code": code_fingerprint(),
            **({} if self.groups is None else {"groups": self.groups}),
        }


@dataclass(frozen=True, slots=True)
class Alert:
    """One row of `alerts`; times naive UTC, ``evidence`` and ``provenance`` as JSON objects."""

    alert_id: str
    subject_kind: str
    subject_id: str
    members: tuple[str, ...]
    detector: str
    first_seen: datetime | None
    last_seen: datetime | None
    score: float
    p_value: float
    evidence: Mapping[str, Any]
    provenance: Mapping[str, Any]
    as_of: datetime
    fdr: float | None

    def to_row(self) -> dict[str, Any]:
        """Values of the table's columns."""
        row = {name: getattr(self, name) for name in ALERTS.names}
        return {
            **row,
            "members": list(self.members),
            "evidence": canonical(self.evidence).decode(),
            "provenance": canonical(self.provenance).decode(),
        }

    def to_json(self) -> dict[str, Any]:
        """The same with times as text: what goes to the topic and to ``alerts/<alert_id>.json``."""
        row = self.to_row()
        return {name: to_text(value) if isinstance(value, datetime) else value for name, value in row.items()}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Alert:
        """What `to_row` or `to_json` gave.

        Raises
        ------
        LakeError
            It is not an alert.
        """
        try:
            values = {name: row[name] for name in ALERTS.names}
            for name in ("first_seen", "last_seen", "as_of"):
                values[name] = from_text(values[name])
            for name in ("evidence", "provenance"):
                values[name] = json.loads(values[name]) if isinstance(values[name], str) else values[name]
            values["members"] = tuple(values["members"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"alert {row.get('alert_id', '?')} is not readable ({error!r}); restore its file from a copy of the lake"
            raise LakeError(msg) from error


def make_alert(
    profile: Profiles,
    subjects: Subjects,
    row: int,
    *,
    subject_kind: str,
    members: Sequence[str],
    records: str | None = None,
    extra: Mapping[str, Any] | None = None,
    said: Mapping[str, Any] | None = None,
    subject_id: str | None = None,
) -> Alert:
    """The alert about one judged account or cluster.

    Parameters
    ----------
    profile
        Its one profile, under its subject id.
    subjects, row
        How it was judged.
    records
        Digest of its landed records, for signals that read them.
    extra
        Added to the evidence.
    said
        The evidence; default: what the judged signals say.
    subject_id
        Under which the alert is filed, where that is not the profile's name. It is no part of the alert's id: a
        cluster's lasting name depends on what was published before.
    """
    provenance = subjects.scope.to_json(profile.digest(), records)
    subject = str(profile.account_id[0])
    named = [
        subjects.detector,
        subject_kind,
        subject,
        sorted(members),
        *(provenance[name] for name in ("profile", "detector", "reference", "start", "stop", "look")),
        # Not for live looks, which judge the profile alone: their alerts keep the names they always had.
        *([] if records is None else [records]),
        *([] if subjects.scope.groups is None else [subjects.scope.groups]),
    ]
    assert subjects.as_of is not None, "an empty lake has no alerts"
    return Alert(
        alert_id=f"alert-{hashlib.blake2b(canonical(named), digest_size=16).hexdigest()}",
        subject_kind=subject_kind,
        subject_id=subject_id or subject,
        members=tuple(sorted(members)),
        detector=subjects.detector,
        first_seen=moment(int(subjects.first[row])),
        last_seen=subjects.last_seen(row),
        score=float(subjects.judgement.score[row]),
        p_value=float(subjects.judgement.p_value[row]),
        evidence={
            **(said or evidence(subjects.table, subjects.judgement, subjects.reference, row)),
            **(extra or {}),
        },
        provenance=provenance,
        as_of=subjects.as_of,
        fdr=None if subjects.scope.look is not None else subjects.fdr,
    )


def alert_table(alerts: Sequence[Alert]) -> pa.Table:
    """Rows of `alerts`."""
    return pa.Table.from_pylist([alert.to_row() for alert in alerts], schema=ALERTS)


def find_alert(lake: Lake, snapshot: Snapshot, alert_id: str) -> Alert:
    """An alert of the manifest's table, or a live one.

    Raises
    ------
    LakeError
        There is none of this id.
    """
    for path in snapshot.table_files("alerts"):
        for row in pq.read_table(path, filters=[("alert_id", "=", alert_id)]).to_pylist():
            return Alert.from_row(row)
    data = lake.store.read_bytes(f"{LIVE}/{alert_id}.json")
    if data is None:
        msg = f"there is no alert {alert_id} in {lake.root}; the view `alerts` lists them"
        raise LakeError(msg)
    return Alert.from_row(json.loads(data))


def live_alerts(lake: Lake) -> list[Alert]:
    """Every alert that a worker raised at a look, by id.

    Raises
    ------
    LakeError
        One of the files is damaged.
    """
    names = [name for name in sorted(lake.store.names(LIVE)) if name.endswith(".json")]
    found = [lake.store.read_bytes(f"{LIVE}/{name}") for name in names]
    return [Alert.from_row(json.loads(data)) for data in found if data is not None]


def keep_reference(store: Store, reference: Reference) -> None:
    """Put a shipped reference into the lake: the next version ships others, and its alerts are to be derived again."""
    key = f"{REFERENCES}/{reference.fingerprint}.json"
    if not store.exists(key):
        store.put_bytes(canonical(reference.to_json()), key)


def find_reference(snapshot: Snapshot, fingerprint: str) -> Reference:
    """A shipped reference, one kept in the lake, or one of the lake's table.

    Raises
    ------
    LakeError
        None of them has it, or what bears its name is another.
    """
    for reference in shipped_references().values():
        if reference.fingerprint == fingerprint:
            return reference
    key = f"{REFERENCES}/{fingerprint}.json"
    data = snapshot.store.read_bytes(key)
    if data is not None:
        return _kept_reference(data, fingerprint, str(snapshot.store.path(key)))
    files = snapshot.table_files("reference_populations")
    tables = [empty_table("reference_populations"), *(pq.read_table(path) for path in files)]
    return Reference.from_table(pa.concat_tables(tables), fingerprint)


def _kept_reference(data: bytes, fingerprint: str, place: str) -> Reference:
    try:
        reference = Reference.from_json(json.loads(data))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"{place} is not a reference ({error!r}); restore it from a copy of the lake"
        raise LakeError(msg) from error
    if reference.fingerprint != fingerprint:
        msg = f"{place} now has the fingerprint {reference.fingerprint}: it was changed; restore it from a copy of the lake"
        raise LakeError(msg)
    return reference
