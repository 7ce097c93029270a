"""Live looks: accounts are judged when they have sent 50, 100, 200, … records, by shipped references.

Nothing here reads or writes: counts come from the accepted records, profiles from whoever calls.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline.alert_records import telling_of
from pipeline.alerts import Scope, keep_reference, make_alert
from pipeline.detectors import get_detector
from pipeline.detectors.base import MIN_RECORDS
from pipeline.detectors.robust import SHIPPED_MARGIN, shipped_references
from pipeline.errors import UsageError
from pipeline.lake.paths import Chain
from pipeline.lake.reader import read_profiles
from pipeline.lake.rowgroups import gone
from pipeline.lake.selection import below
from pipeline.lake_records import record_blocks
from pipeline.likeness import likeness
from pipeline.profiles import Profiles
from pipeline.records.schema import KIND_RECORD
from pipeline.score_tables import judged
from pipeline.signals import Context, signal_table
from pipeline.signals.sequence import COLUMNS, NEWEST
from pipeline.times import moment
from pipeline.verdict_effect import account_evidence
from pipeline.verdicts import ALLOWED, read_verdicts, stand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    import pyarrow as pa

    from pipeline.alerts import Alert
    from pipeline.detectors.base import Detector, Judgement
    from pipeline.detectors.reference import Reference
    from pipeline.engine import Engine
    from pipeline.lake import Lake, Snapshot
    from pipeline.likeness import Likeness
    from pipeline.score_tables import Subjects
    from pipeline.verdicts import Verdict

DEFAULT_ALPHA = 0.002

READ_ACCOUNTS, READ_RECORDS = 10, 2000
"""Of at most so many alerts of a look, each on at most so many records, the records are read: a look must not take long."""


@dataclass(frozen=True, slots=True)
class LookSchedule:
    """When an account is looked at, and how much of the error may be spent at each look.

    Look k (from 0) is at ``first * 2**k`` records and may spend ``alpha / (margin (k + 1) (k + 2))``; these add up to less
    than alpha / margin over all looks, so the chance that a benign account is ever accused live is at most alpha as far as the
    p-values of the looks are at most ``margin`` times too small (a union bound: no assumption about how looks depend on
    each other).

    Examples
    --------
    >>> schedule = LookSchedule()
    >>> [schedule.crossed(before, after) for before, after in ((0, 49), (49, 50), (60, 450))]
    [None, 0, 3]
    >>> schedule.records(3)
    400
    """

    first: int = MIN_RECORDS
    alpha: float = DEFAULT_ALPHA
    margin: float = SHIPPED_MARGIN

    def __post_init__(self) -> None:
        if self.first < MIN_RECORDS or not 0 < self.alpha < 1 or not self.margin >= 1:
            msg = f"first look {self.first}, alpha {self.alpha}, margin {self.margin}: the first look has at least {MIN_RECORDS} records, alpha lies between 0 and 1, the margin is at least 1"
            raise UsageError(msg)

    def records(self, look: int) -> int:
        """Records at which this look is due."""
        return self.first << look

    def look_at(self, records: int) -> int | None:
        """The last look that is due at this many records."""
        return None if records < self.first else int(math.log2(records // self.first))

    def crossed(self, before: int, after: int) -> int | None:
        """The last look that became due when an account grew from ``before`` to ``after`` records."""
        now = self.look_at(after)
        return now if now is not None and now != self.look_at(before) else None

    def spend(self, look: int) -> float:
        """Level of this look."""
        return self.alpha / (self.margin * (look + 1) * (look + 2))


class ProfileSource(Protocol):
    """Where profiles of accounts come from: the lake plus what is held in memory."""

    def __call__(self, accounts: Sequence[str], held: Sequence[pa.Table]) -> Snapshotted:
        """Profiles by account and window of all records so far, and the positions they cover."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshotted:
    """``profiles`` by account and window; ``vector`` chain key to offset: exactly the records below are in them.

    ``verdicts``: all that were ever added to the lake; ``records``: those records of some of the accounts, with the columns
    that sequences are read from (None: nobody can read them).
    """

    profiles: Profiles
    vector: Mapping[str, int]
    manifest: int
    verdicts: tuple[Verdict, ...] = ()
    records: Callable[[Sequence[str]], pa.Table] | None = None


class LiveScorer:
    """Counts records per account, and judges those that reach a look. Safe to use from several threads.

    Counts go wrong when partitions change hands: another worker has landed records that were never counted here, and
    records that are read again are counted twice. A look reads the true number, and the count goes on from there. No
    look of an account is judged twice, and none that it had reached before its records came here: another worker, or
    this one before its restart, has spent that level.

    Parameters
    ----------
    source
        Gives profiles.
    engine
        Its parameters and window length name what was judged.
    schedule
        When to look, and at what level.
    counts
        Records per account so far (after a restart).
    detector, references
        Default: the robust one and the shipped ones.
    keep
        Told each reference that an alert was judged by, before the alert is given out.
    """

    def __init__(
        self,
        source: ProfileSource,
        engine: Engine,
        *,
        schedule: LookSchedule | None = None,
        counts: Mapping[str, int] | None = None,
        detector: Detector | None = None,
        references: Mapping[str, Reference] | None = None,
        keep: Callable[[Reference], None] | None = None,
    ) -> None:
        self.schedule = schedule or LookSchedule()
        self._source = source
        self._engine = engine
        self._keep = keep
        self._lock = threading.Lock()
        self.allowed = 0
        """Looks at allowed accounts that would have been alerts."""
        self._counts = dict(counts or {})
        # Of accounts that sent something here: records since the start or the last look, and the last look.
        self._seen: dict[str, int] = {}
        self._judged: dict[str, int] = {}
        self._detector = detector or get_detector()
        every = shipped_references() if references is None else references
        self._references = {int(name.rpartition("-")[2]): each for name, each in every.items() if "-" in name}

    def observe(self, accepted: pa.Table) -> list[str]:
        """Count accepted records; the accounts that have reached a look, sorted."""
        counted = accepted.column("account_id").value_counts()
        due = []
        with self._lock:
            for entry in counted.to_pylist():
                account, more = entry["values"], entry["counts"]
                before = self._counts.get(account, 0)
                self._counts[account] = before + more
                self._seen[account] = self._seen.get(account, 0) + more
                if self.schedule.crossed(before, before + more) is not None:
                    due.append(account)
        return sorted(due)

    def look(self, accounts: Sequence[str], held: Sequence[pa.Table]) -> list[Mapping[str, Any]]:
        """Judge accounts by what is landed and held; JSON-ready alerts."""
        if not accounts:
            return []
        with self._lock:
            seen = {account: self._seen.get(account, 0) for account in accounts}
        found = self._source(accounts, held)
        whole = found.profiles.by_account()
        totals = dict(zip(whole.account_id.tolist(), whole.records.tolist(), strict=True))
        looks = np.array([self._due(account, n, seen.get(account, 0)) for account, n in totals.items()])
        raised: list[Alert] = []
        for look in sorted({int(each) for each in looks if each >= 0}):
            raised += self._judge(whole.take(looks == look), found, look)
        self._go_on(totals, seen)
        return [alert.to_json() for alert in sorted(raised, key=lambda alert: alert.alert_id)]

    def _due(self, account: str, records: int, seen: int) -> int:
        """The look that is to be judged of an account with so many records, ``seen`` of them here; -1: none."""
        look = self.schedule.look_at(records)
        if look is None:
            return -1
        with self._lock:
            known = self._counts.get(account, 0) - self._seen.get(account, 0)
            judged = self._judged.get(account)
        passed = (judged, self.schedule.look_at(known), self.schedule.look_at(records - seen))
        return -1 if any(each is not None and each >= look for each in passed) else look

    def _go_on(self, totals: Mapping[str, int], seen: Mapping[str, int]) -> None:
        """Count on from the true numbers, and from what has come since they were asked for."""
        with self._lock:
            for account, records in totals.items():
                later = self._seen.get(account, 0) - seen.get(account, 0)
                self._counts[account] = records + later
                self._seen[account] = later
                look = self.schedule.look_at(records)
                if look is not None:
                    self._judged[account] = max(look, self._judged.get(account, look))

    def _judge(self, whole: Profiles, found: Snapshotted, look: int) -> list[Alert]:
        wanted = self.schedule.records(look)
        # Past the largest look that was simulated, its reference is the nearest there is.
        reference = self._references[
            max(n for n in self._references if n <= wanted or n == min(self._references))
        ]
        windows = found.profiles
        last = np.array(
            [windows.window_start[windows.account_id == name].max() for name in whole.account_id], np.int64
        )
        window = self._engine.window_seconds * 1_000_000
        as_of = moment(int(last.max()) + window)
        standing = stand(found.verdicts, as_of)
        subjects = judged(
            self._detector,
            signal_table(whole, Context(reference.population)),
            reference,
            first=whole.window_start,
            last=last,
            window=window,
            scope=Scope(
                vector=found.vector,
                manifest=found.manifest,
                parameters=self._engine.parameters.fingerprint,
                detector=self._detector.fingerprint,
                reference=reference.fingerprint,
                look=wanted,
                verdicts=standing.digest,
            ),
            as_of=as_of,
            fdr=self.schedule.alpha,
        )
        level = self.schedule.spend(look)
        listed = np.nan_to_num(subjects.judgement.p_value, nan=1.0) <= level
        # `score` shows these as allowed; here they are counted.
        allowed = listed & standing.rows(whole.account_id, ALLOWED)
        with self._lock:
            self.allowed += int(allowed.sum())
        rows = np.flatnonzero(listed & ~allowed).tolist()
        if rows and self._keep is not None:
            self._keep(reference)
        told = self._told(subjects, reference, rows, found) if rows else {}
        return [
            make_alert(
                whole.take(slice(row, row + 1)),
                subjects,
                row,
                subject_kind="account",
                members=[str(whole.account_id[row])],
                extra={
                    "look": {"records": wanted, "level": level, "alpha": self.schedule.alpha},
                    **told[row],
                    **account_evidence(str(whole.account_id[row]), standing),
                },
            )
            for row in rows
        ]

    def _told(
        self, subjects: Subjects, reference: Reference, rows: Sequence[int], found: Snapshotted
    ) -> dict[int, dict[str, Any]]:
        """Of each alert the best benign explanation, and records to look at as far as they can be read in time."""
        alike = likeness(subjects.table, reference)
        read = [row for row in rows if subjects.table.records[row] <= READ_RECORDS][:READ_ACCOUNTS]
        telling: dict[str, dict[str, Any]] = {}
        if read and found.records is not None:
            names = [str(subjects.table.account_id[row]) for row in read]
            telling = telling_of([found.records(names)], self._engine)
        told = {}
        for row in rows:
            said = look_explanation(alike, subjects.judgement, row)
            look_at = telling.get(str(subjects.table.account_id[row]))
            told[row] = said if look_at is None else {**said, "look_at": look_at}
        return told


def look_explanation(alike: Likeness, judgement: Judgement, row: int) -> dict[str, Any]:
    """The benign explanation of a live alert, by the classes that ship and profile signals alone; as evidence."""
    said = alike.explanation(judgement, row)
    return {"benign_explanation": {**said, "classes": alike.classes.fingerprint}}


class LakeSource:
    """Profiles from a lake plus held tables; held records that were landed meanwhile count once.

    Parameters
    ----------
    lake, engine
        Where records are landed, and an engine with its parameters.
    """

    def __init__(self, lake: Lake, engine: Engine) -> None:
        self._lake = lake
        self._engine = engine
        self._read: tuple[tuple[Path, ...], tuple[Verdict, ...]] = ((), ())

    def __call__(self, accounts: Sequence[str], held: Sequence[pa.Table]) -> Snapshotted:
        """Profiles of these accounts by all records so far."""
        import pyarrow as pa
        import pyarrow.compute as pc

        snapshot = self._lake.snapshot()
        vector = dict(snapshot.vector)
        parts, kept = [read_profiles(snapshot, self._engine, accounts)], []
        names = pa.array(sorted(accounts), pa.string())
        for table in held:
            if not table.num_rows:
                continue
            # What was landed since it was held is in the snapshot already.
            fresh = _not_below(table, snapshot.vector)
            for chain, after in _ends(fresh).items():
                vector[chain] = max(vector.get(chain, 0), after)
            mine = fresh.filter(pc.is_in(fresh["account_id"], names))
            if mine.num_rows:
                parts.append(self._engine.profiles(mine))
                kept.append(mine)
        verdicts = self._verdicts(snapshot)

        def records(some: Sequence[str]) -> pa.Table:
            chosen = pa.array(sorted(some), pa.string())
            landed = record_blocks(snapshot, some, None, None, COLUMNS, newest=NEWEST)
            waiting = [
                each.filter(pc.is_in(each["account_id"], chosen)).select(list(COLUMNS)) for each in kept
            ]
            return pa.concat_tables([*landed, *waiting], promote_options="permissive")

        return Snapshotted(Profiles.merge(*parts), vector, snapshot.manifest.number, verdicts, records)

    def _verdicts(self, snapshot: Snapshot) -> tuple[Verdict, ...]:
        """Read anew when files were added; a worker looks many times a minute."""
        files = tuple(snapshot.table_files("verdicts"))
        if files != self._read[0]:
            self._read = (files, tuple(read_verdicts(snapshot)))
        return self._read[1]

    def counts(self) -> dict[str, int]:
        """Records per account in the lake: where counting goes on after a restart.

        Reads two columns of the windows, and one of the segments that have none yet.

        Raises
        ------
        LakeError
            A file was swept meanwhile.
        """
        import pyarrow.parquet as pq

        snapshot = self._lake.snapshot()
        totals: Counter[str] = Counter()
        try:
            for path in snapshot.window_files():
                table = pq.read_table(path, columns=["account_id", "records"])
                summed = table.group_by("account_id").aggregate([("records", "sum")])
                _add(totals, summed["account_id"], summed["records_sum"])
            for path in snapshot.loose_files():
                kind = [("kind", "=", KIND_RECORD)]
                counted = pq.read_table(path, columns=["account_id"], filters=kind)[
                    "account_id"
                ].value_counts()
                _add(totals, counted.field("values"), counted.field("counts"))
        except FileNotFoundError as error:
            raise gone(error) from error
        return dict(totals)


def _add(totals: Counter[str], accounts: pa.Array, records: pa.Array) -> None:
    for account, n in zip(accounts.to_pylist(), records.to_pylist(), strict=True):
        totals[account] += n


def _not_below(table: pa.Table, vector: Mapping[str, int]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    landed = below(table.append_column("_row", pa.array(np.arange(table.num_rows))), vector)
    return table.filter(
        pc.invert(pc.is_in(pa.array(np.arange(table.num_rows)), landed["_row"].combine_chunks()))
    )


def _ends(table: pa.Table) -> dict[str, int]:
    grouped = table.group_by(["topic_id", "partition"]).aggregate([("offset", "max")])
    return {
        Chain(row["topic_id"], row["partition"]).key: row["offset_max"] + 1 for row in grouped.to_pylist()
    }


def live_scorer(lake: Lake, engine: Engine, schedule: LookSchedule | None = None) -> LiveScorer:
    """A scorer for a worker on this lake, counting on from what is landed."""
    source = LakeSource(lake, engine)
    return LiveScorer(
        source,
        engine,
        schedule=schedule,
        counts=source.counts(),
        keep=lambda reference: keep_reference(lake.store, reference),
    )
