"""Score a lake: profiles to signals, signals to scores, scores to an alert list with a false discovery rate.

`judge_lake` reads and computes, `publish` writes the result tables and names them in the manifest, `score_lake`
does both. The answer depends on the landed records alone: not on when it runs, nor on how they were landed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.alert_records import EACH, cluster_records, most_tied, telling_records
from pipeline.alerts import Alert, Scope, alert_table, make_alert
from pipeline.cluster_scoring import CLUSTER_DETECTOR, Groups, judge_groups
from pipeline.clusters.explain import group_evidence
from pipeline.clusters.judge import judgement_fingerprint
from pipeline.clusters.rows import change_rows, edge_rows
from pipeline.config import one_thread_per_product_here
from pipeline.detectors import get_detector
from pipeline.detectors.robust import LAKE, SHIPPED_MARGIN, RobustDetector, shipped_references
from pipeline.lake.reader import read_profiles
from pipeline.lake_accounts import lookback_range, payments_of, read_accounts
from pipeline.lake_details import read_details
from pipeline.lake_records import joint_digest, record_digests
from pipeline.likeness import Likeness, class_column, find_classes, likeness
from pipeline.score_tables import Subjects, account_rows, cluster_rows, judged, member_rows
from pipeline.signals import Context, SignalTable
from pipeline.tables import TABLES
from pipeline.times import moment
from pipeline.verdict_effect import (
    Held,
    account_evidence,
    cluster_evidence,
    population_without_attackers,
    without_attackers,
)
from pipeline.verdicts import Standing
from pipeline.verdicts import standing as standing_verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.clock import Clock
    from pipeline.detectors.base import Detector
    from pipeline.detectors.reference import Reference
    from pipeline.engine import Engine
    from pipeline.lake import Lake, Manifest, Snapshot
    from pipeline.signals import Population

DEFAULT_FDR = 0.05
# With fewer accounts to be judged, ranks among themselves say too little: the shipped reference judges.
MIN_POPULATION = 200
DEFAULT_DETECTOR, SMALL_LAKE_DETECTOR = "forest", "robust"
REPLACED = ("account_scores", "cluster_scores", "clusters", "cluster_edges")
KEPT = {"alerts": ("alert_id",), "reference_populations": ("reference", "benign_class", "signal")}


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a scoring run found.

    Parameters
    ----------
    as_of
        The time up to which records were judged; None for an empty lake.
    accounts
        Accounts in the lake.
    reference
        The population they were judged by.
    alerts
        Accounts and clusters of the list, most certain first.
    tables
        A table for each result table but verdicts.
    manifest
        Number of the manifest that names the tables, or newer ones; None before `publish`.
    vector
        Chain key to offset: the records that were judged.
    standing
        The verdicts that stood, all of which were used; see `pipeline.verdict_effect`.
    """

    as_of: datetime | None
    accounts: int
    reference: Reference
    detector: str
    fdr: float
    alerts: tuple[Alert, ...]
    tables: dict[str, pa.Table]
    seconds: float = 0.0
    manifest: int | None = None
    vector: Mapping[str, int] = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)


def score_lake(
    lake: Lake,
    snapshot: Snapshot,
    engine: Engine,
    clock: Clock,
    *,
    detector: Detector | None = None,
    as_of: datetime | None = None,
    lookback: timedelta | None = None,
    fdr: float = DEFAULT_FDR,
    workers: int = 1,
    report: Callable[[str, int, int], None] | None = None,
) -> Scoring:
    """Judge a lake and publish the tables; see `judge_lake` and `publish`."""
    started = clock.monotonic()
    scoring = judge_lake(
        snapshot,
        engine,
        detector=detector,
        as_of=as_of,
        lookback=lookback,
        fdr=fdr,
        workers=workers,
        report=report,
    )
    manifest = publish(lake, scoring)
    return replace(scoring, seconds=clock.monotonic() - started, manifest=manifest.number)


def judge_lake(
    snapshot: Snapshot,
    engine: Engine,
    *,
    detector: Detector | None = None,
    as_of: datetime | None = None,
    lookback: timedelta | None = None,
    fdr: float = DEFAULT_FDR,
    workers: int = 1,
    report: Callable[[str, int, int], None] | None = None,
) -> Scoring:
    """Judge every account and cluster of a snapshot; nothing is written.

    Parameters
    ----------
    detector
        Default: the forest, and the robust one in a lake of fewer than `MIN_POPULATION` scorable accounts.
    as_of
        Judge the windows before this time (naive UTC); default: all, and the end of the last window is the time.
    lookback
        Judge the windows of this long before ``as_of``; default: all.
    fdr
        False discovery rate of the alert list (accounts and clusters are two lists).
    workers
        Processes that read records; the answer does not depend on it.
    report
        Told (what, done, total).
    """
    start, stop = lookback_range(snapshot, engine.window_seconds, as_of, lookback)
    return judge_range(
        snapshot,
        engine,
        start,
        stop,
        detector=detector,
        as_of=stop if as_of is None else as_of,
        lookback=int(lookback.total_seconds()) if lookback is not None else None,
        fdr=fdr,
        workers=workers,
        report=report,
    )


@one_thread_per_product_here()
def judge_range(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None,
    stop: datetime | None,
    *,
    detector: Detector | None = None,
    as_of: datetime | None = None,
    lookback: int | None = None,
    fdr: float = DEFAULT_FDR,
    reference: Reference | None = None,
    vector: Mapping[str, int] | None = None,
    standing: Standing | None = None,
    workers: int = 1,
    report: Callable[[str, int, int], None] | None = None,
) -> Scoring:
    """What `judge_lake` does, for a range of windows and, if wanted, for the records below an offset vector alone.

    Parameters
    ----------
    start, stop
        Windows with ``start <= window_start < stop``; None is no bound.
    as_of
        The time the tables name; default: the end of the last window.
    lookback
        Seconds, as the tables name them.
    reference
        The shipped population to judge a small lake by; default: this version's.
    vector
        Chain key to offset. Everything is then computed from the records below, whatever was landed of it: what an
        alert was made from is judged again.
    standing
        Verdicts to judge with; default: those of the snapshot that stand as of ``as_of``.
    """
    window = engine.window_seconds * 1_000_000
    lake = read_accounts(snapshot, engine, start, stop, report, vector=vector, workers=workers)
    if as_of is None and len(lake.last):
        as_of = moment(int(lake.last.max()) + window)
    reference = reference or shipped_references()["shipped"]
    context = Context(reference.population)
    if standing is None:
        standing = standing_verdicts(snapshot, as_of)
    population, scorable = population_without_attackers(lake, standing)
    if own := scorable >= MIN_POPULATION:
        context = Context(population)
    details = read_details(
        snapshot,
        engine,
        lake,
        lake.with_population(context),
        start,
        stop,
        first_stage=lambda table: _first_stage(table, lake.population),
        vector=vector,
        workers=workers,
        report=report,
    )
    table = details.table
    # Ranks among a few accounts say too little for a forest: a small lake is judged by its profiles alone.
    detector = detector or get_detector(DEFAULT_DETECTOR if own else SMALL_LAKE_DETECTOR)
    if own:
        among = without_attackers(details.population, standing)
        reference = detector.reference(LAKE, among, population)
        classes = find_classes(among, reference, detector.judge(among, reference))
        reference = reference.with_classes(classes.references)
    scope = Scope(
        vector=snapshot.vector if vector is None else vector,
        manifest=snapshot.manifest.number,
        parameters=engine.parameters.fingerprint,
        detector=detector.fingerprint,
        reference=reference.fingerprint,
        start=start,
        stop=stop,
        lookback=lookback,
        verdicts=standing.digest,
    )
    common: dict[str, Any] = {"window": window, "scope": scope, "as_of": as_of, "fdr": fdr}
    held = Held.accounts(table.account_id.tolist(), standing)
    accounts = judged(
        detector,
        table,
        reference,
        first=lake.first,
        last=lake.last,
        held=held,
        # Nobody knows how far this service's accounts are from those of the shipped population.
        margin=1.0 if own else SHIPPED_MARGIN,
        **common,
    )
    alike = likeness(table, reference)
    groups = judge_groups(
        snapshot,
        engine,
        lake.ties,
        payments_of(snapshot, vector) if len(lake.ties) else {},
        table,
        context,
        scope,
        as_of,
        vector,
    )
    grouped = Subjects.of(
        groups.sums,
        groups.judgement,
        groups.first,
        groups.last,
        detector=CLUSTER_DETECTOR,
        reference=reference,
        held=Held.clusters(groups.names, [each.members for each in groups.clusters], standing),
        **{**common, "scope": replace(scope, groups=judgement_fingerprint())},
    )
    alerts = [
        *_account_alerts(snapshot, engine, accounts, alike, standing, vector),
        *_cluster_alerts(snapshot, engine, grouped, groups, alike, standing, vector),
    ]
    alerts.sort(key=lambda alert: (alert.p_value, -alert.score, alert.alert_id))
    tables = {
        "account_scores": account_rows(accounts, class_column(alike, accounts.judgement)),
        "cluster_scores": cluster_rows(grouped, groups),
        "clusters": member_rows(groups, lake.ties, as_of),
        "cluster_edges": edge_rows(groups.clusters, groups.lasting, as_of),
        "cluster_changes": change_rows(groups.changes),
        "alerts": alert_table(alerts),
        "reference_populations": reference.to_table(as_of if reference.name == LAKE else None),
    }
    return Scoring(
        as_of,
        len(table),
        reference,
        detector.name,
        fdr,
        tuple(alerts),
        tables,
        vector=scope.vector,
        standing=standing,
    )


def _first_stage(table: SignalTable, population: Population) -> NDArray[np.float64]:
    """Scores by profiles alone: who of a large lake is worth reading in detail, whatever detector judges then."""
    robust = RobustDetector()
    return robust.scores(table, robust.reference(LAKE, table, population))[0]


def publish(lake: Lake, scoring: Scoring) -> Manifest:
    """Write the tables and name them in the manifest; see `publication`."""
    return lake.publish(publication(lake, scoring))


def publication(lake: Lake, scoring: Scoring) -> Callable[[Manifest], Manifest]:
    """Write the tables; what is returned names them in a manifest, for `Lake.publish`.

    Scores and clusters replace those of the run before, unless that one judged all of these records and more: a slow
    scoring does not undo a faster one that began later. Alerts stay, with the references they were judged by; the
    newest run's list is the alerts with the largest ``as_of``.
    """
    files = {name: _put(lake, name, scoring.tables[name]) for name in REPLACED}

    def update(manifest: Manifest) -> Manifest:
        alerts = _kept(lake, manifest, "alerts", scoring.tables["alerts"])
        references = _kept(lake, manifest, "reference_populations", scoring.tables["reference_populations"])
        judged_by = {Alert.from_row(row).provenance["reference"] for row in alerts.to_pylist()}
        used = pa.array(sorted(judged_by | {scoring.reference.fingerprint}), pa.string())
        references = references.filter(pc.is_in(references["reference"], used))
        kept = {
            "alerts": _put(lake, "alerts", alerts),
            "reference_populations": _put(lake, "reference_populations", references),
        }
        kept["cluster_changes"] = _put(lake, "cluster_changes", _changes(lake, manifest, scoring))
        if _judged_more(manifest, scoring):
            return replace(manifest, tables={**manifest.tables, **kept})
        return replace(manifest, tables={**manifest.tables, **files, **kept}, judged=dict(scoring.vector))

    return update


def _changes(lake: Lake, manifest: Manifest, scoring: Scoring) -> pa.Table:
    """Who joined and left, of all times; what was said of this time before is said anew."""
    new = scoring.tables["cluster_changes"]
    old = [pq.read_table(lake.store.path(file.path)) for file in manifest.tables.get("cluster_changes", ())]
    if scoring.as_of is None:
        return pa.concat_tables([new, *old])
    stamp = pa.scalar(scoring.as_of, pa.timestamp("us"))
    others = [table.filter(pc.not_equal(table["as_of"], stamp)) for table in old]
    return pa.concat_tables([*others, new]).sort_by(
        [(name, "ascending") for name in ("as_of", "cluster_id", "account_id")]
    )


def _judged_more(manifest: Manifest, scoring: Scoring) -> bool:
    """Whether the published scores are of every record of these, and of others."""
    judged, ours = manifest.judged, scoring.vector
    return judged != ours and all(judged.get(key, -1) >= offset for key, offset in ours.items())


def _put(lake: Lake, name: str, table: pa.Table) -> tuple[Any, ...]:
    return (lake.put_table(name, table),) if table.num_rows else ()


def _kept(lake: Lake, manifest: Manifest, name: str, new: pa.Table) -> pa.Table:
    """The manifest's rows with the new ones; one row per key, the newest, in order of the key."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    old = [pq.read_table(lake.store.path(file.path)) for file in manifest.tables.get(name, ())]
    for table in (*old, new):
        for row in table.to_pylist():
            # No class (the whole population) sorts first.
            key = tuple(row[column] or "" for column in KEPT[name])
            # An alert that is raised again as of the same time is the same alert: it keeps the manifest it was
            # judged from, and the table stays as it is. With other verdicts it says something else.
            if name != "alerts" or key not in rows or _is_newer(row, rows[key]):
                rows[key] = row
    return pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema=TABLES[name])


def _is_newer(alert: Mapping[str, Any], kept: Mapping[str, Any]) -> bool:
    if alert["as_of"] != kept["as_of"]:
        return bool(alert["as_of"] > kept["as_of"])
    with_verdicts = [Alert.from_row(each).provenance.get("verdicts") for each in (alert, kept)]
    return with_verdicts[0] != with_verdicts[1]


def _account_alerts(
    snapshot: Snapshot,
    engine: Engine,
    accounts: Subjects,
    alike: Likeness,
    standing: Standing,
    vector: Mapping[str, int] | None,
) -> list[Alert]:
    rows = [row for row in range(len(accounts.table)) if accounts.decision(row) == "alert"]
    names = [str(accounts.table.account_id[row]) for row in rows]
    if not names:
        return []
    scope = accounts.scope
    profiles = read_profiles(snapshot, engine, names, scope.start, scope.stop, vector=vector).by_account()
    digests = record_digests(snapshot, names, scope.start, scope.stop, vector)
    telling = telling_records(snapshot, engine, names, scope, vector)
    company = alike.next_in_line(accounts.judgement, accounts.listed)
    return [
        make_alert(
            profiles.of_accounts([name]),
            accounts,
            row,
            subject_kind="account",
            members=[name],
            records=joint_digest(digests, [name]),
            extra={
                "benign_explanation": alike.explanation(accounts.judgement, row, company),
                "look_at": telling.get(name),
                **account_evidence(name, standing),
            },
        )
        for row, name in zip(rows, names, strict=True)
    ]


def _cluster_alerts(
    snapshot: Snapshot,
    engine: Engine,
    subjects: Subjects,
    groups: Groups,
    alike: Likeness,
    standing: Standing,
    vector: Mapping[str, int] | None,
) -> list[Alert]:
    rows = [row for row in range(len(groups)) if subjects.decision(row) == "alert"]
    if not rows:
        return []
    names = sorted({member for row in rows for member in groups.clusters[row].members})
    scope = subjects.scope
    digests = record_digests(snapshot, names, scope.start, scope.stop, vector)
    chosen = sorted({member for row in rows for member in most_tied(groups.clusters[row])})
    telling = telling_records(snapshot, engine, chosen, scope, vector, EACH)
    return [
        make_alert(
            groups.totals[row],
            subjects,
            row,
            subject_kind="cluster",
            members=groups.clusters[row].members,
            records=joint_digest(digests, groups.clusters[row].members),
            subject_id=groups.names[row],
            said={
                "records": int(groups.sums.records[row]),
                "population": {"name": subjects.reference.name, "accounts": subjects.reference.accounts},
                **group_evidence(groups.clusters, groups.sums, groups.judgement, row),
            },
            extra={
                "benign_explanation": alike.group_explanation(groups.clusters[row]),
                "look_at": cluster_records(groups.clusters[row], telling),
                **cluster_evidence(groups.names[row], groups.clusters[row].members, standing),
            },
        )
        for row in rows
    ]
