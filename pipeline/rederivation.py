"""Deriving alerts again from the landed records they name: what differs, in words.

First the subject's own records are held against the digests in the alert: what was altered, lost or added there is told
without computing more. Then the lake is judged again by the records below the alert's offsets, all of them, since ranks
and neighbours are those of the whole lake; alerts of one run share that. A live look judged one profile by a shipped
reference, and so is it derived again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.alert_records import telling_of
from pipeline.alerts import find_reference
from pipeline.clusters.find import cluster_id
from pipeline.clusters.judge import judgement_fingerprint
from pipeline.detectors.robust import LAKE
from pipeline.errors import LakeError
from pipeline.evidence import evidence
from pipeline.lake.documents import canonical
from pipeline.lake.reader import read_profiles
from pipeline.lake_models import detector_of
from pipeline.lake_records import joint_digest, record_blocks, record_digests
from pipeline.likeness import likeness
from pipeline.live import look_explanation
from pipeline.scoring import judge_range
from pipeline.signals import Context, signal_table
from pipeline.signals.sequence import COLUMNS, NEWEST
from pipeline.times import from_text
from pipeline.verdicts import standing_then

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.alerts import Alert
    from pipeline.detectors.base import Detector
    from pipeline.detectors.reference import Reference
    from pipeline.engine import Engine
    from pipeline.lake import Lake, Snapshot
    from pipeline.profiles import Profiles
    from pipeline.scoring import Scoring
    from pipeline.verdicts import Standing

MOST_FIELDS = 5
"""Of an object that differs; who altered it altered more."""


def rederive(
    lake: Lake,
    alert: Alert,
    engine: Engine,
    *,
    snapshot: Snapshot | None = None,
    detector: Detector | None = None,
) -> list[str]:
    """What differs of one alert; see `rederive_all`."""
    return rederive_all(lake, [alert], engine, snapshot=snapshot, detector=detector)[0]


def rederive_all(
    lake: Lake,
    alerts: Sequence[Alert],
    engine: Engine,
    *,
    snapshot: Snapshot | None = None,
    detector: Detector | None = None,
    workers: int = 1,
    report: Callable[[str, int, int], None] | None = None,
) -> list[list[str]]:
    """Compute alerts again from the landed records they name; of each what differs, in words. Empty: it holds.

    Parameters
    ----------
    lake, engine
        Where their records are landed, and an engine with the lake's parameters.
    detector
        Judges again; default: the one of the alert's name.
    workers, report
        As for `judge_lake`.
    """
    snapshot = snapshot or lake.snapshot()
    runs: dict[bytes, Scoring] = {}

    def judged_again(alert: Alert, chosen: Detector, standing: Standing) -> Scoring:
        source = alert.provenance
        key = canonical(
            [
                sorted(source["vector"].items()),
                *(source[name] for name in ("start", "stop", "lookback", "reference")),
                source.get("verdicts"),
                str(alert.as_of),
                alert.fdr,
                chosen.name,
            ]
        )
        if key not in runs:
            runs[key] = judge_range(
                snapshot,
                engine,
                from_text(source["start"]),
                from_text(source["stop"]),
                detector=chosen,
                as_of=alert.as_of,
                lookback=source["lookback"],
                fdr=float(alert.fdr or 0.0),
                reference=_shipped(snapshot, source["reference"]),
                vector=source["vector"],
                standing=standing,
                workers=workers,
                report=report,
            )
        return runs[key]

    found = []
    for alert in alerts:
        chosen = detector or detector_of(snapshot.store, alert.detector, alert.provenance["detector"])
        differences, profile = _subject(snapshot, engine, alert, chosen)
        if profile is not None and _of_a_run(alert):
            source = alert.provenance
            try:
                standing = standing_then(lake, source["manifest"], source.get("verdicts"), alert.as_of)
            except LakeError as error:
                differences.append(error.message)
            else:
                differences += _compared(alert, judged_again(alert, chosen, standing))
        elif profile is not None:
            differences += _by_profile(snapshot, engine, alert, chosen, profile)
        found.append(differences)
    return found


def _of_a_run(alert: Alert) -> bool:
    """Whether a scoring run raised it that read records: not a look, nor a run of a version that read profiles alone."""
    return alert.provenance["look"] is None and alert.provenance.get("records") is not None


def _subject(
    snapshot: Snapshot, engine: Engine, alert: Alert, detector: Detector
) -> tuple[list[str], Profiles | None]:
    """What differs in what was judged and by what; the profile, where it makes sense to go on."""
    source = alert.provenance
    if source["parameters"] != engine.parameters.fingerprint:
        return [
            f"its profile was made with parameters {source['parameters']}, the lake has {engine.parameters.fingerprint}"
        ], None
    differences = []
    if source["detector"] != detector.fingerprint:
        differences.append(
            f"it was judged by detector {source['detector']}, this version has {detector.fingerprint}"
        )
    groups = source.get("groups")
    if groups not in {None, judgement_fingerprint()}:
        differences.append(
            f"the cluster was judged by figures {groups}, this version has {judgement_fingerprint()}"
        )
    start, stop = from_text(source["start"]), from_text(source["stop"])
    profile = read_profiles(
        snapshot, engine, alert.members, start, stop, vector=source["vector"]
    ).by_account()
    gone = sorted(set(alert.members) - set(profile.account_id))
    if gone:
        return [*differences, f"no records of {', '.join(gone[:5])} are landed below its offsets"], None
    if alert.subject_kind == "cluster":
        profile = profile.total(cluster_id(alert.members))
    if profile.digest() != source["profile"]:
        differences.append(
            f"the profile of {alert.subject_id} from landed records has digest {profile.digest()[:16]}…, the alert "
            f"names {source['profile'][:16]}…: records were altered, lost or added"
        )
    elif _of_a_run(alert):
        digests = record_digests(snapshot, alert.members, start, stop, source["vector"])
        records = joint_digest(digests, alert.members)
        if records != source["records"]:
            differences.append(
                f"the landed records of {alert.subject_id} have digest {str(records)[:16]}…, the alert names "
                f"{source['records'][:16]}…: records were altered in what the profile does not hold"
            )
    # Whoever altered the subject's records altered the lake too: nothing more is to be learned from judging it again.
    return differences, None if differences and _of_a_run(alert) else profile


def _shipped(snapshot: Snapshot, fingerprint: str) -> Reference | None:
    """The shipped reference of a small lake, which another version shipped, maybe; None: the lake's own, or unknown."""
    try:
        reference = find_reference(snapshot, fingerprint)
    except LakeError:
        return None
    return None if reference.name == LAKE else reference


def _compared(alert: Alert, scoring: Scoring) -> list[str]:
    """An alert and the same alert of the lake judged again."""
    differences = []
    reference = scoring.reference.fingerprint
    if reference != alert.provenance["reference"]:
        differences.append(
            f"the population it is ranked in has reference {reference} when derived again, the alert names "
            f"{alert.provenance['reference']}: records of other accounts were altered, lost or added, "
            "or (where everything else is the same) this processor rounds a signal or the lake's classes otherwise than the one that scored"
        )
    again = next(
        (
            each
            for each in scoring.alerts
            if (each.subject_kind, each.members) == (alert.subject_kind, alert.members)
        ),
        None,
    )
    if again is None:
        row = _row(alert, scoring)
        differences += _numbers(alert, row.get("score"), row.get("p_value"))
        return [*differences, f"{alert.subject_id} is not in the list when the lake is judged again"]
    differences += _numbers(alert, again.score, again.p_value)
    return differences + _evidence(_plain(again.evidence), _plain(alert.evidence))


def _row(alert: Alert, scoring: Scoring) -> dict[str, Any]:
    name, key, wanted = (
        ("account_scores", "account_id", alert.subject_id)
        if alert.subject_kind == "account"
        else ("cluster_scores", "members_hash", cluster_id(alert.members))
    )
    table = scoring.tables[name].select([key, "score", "p_value"])
    return next((row for row in table.to_pylist() if row[key] == wanted), {})


def _numbers(alert: Alert, score: float | None, p_value: float | None) -> list[str]:
    return [
        f"{name} is {now!r} when derived again, the alert says {then!r}"
        for name, now, then in (("score", score, alert.score), ("p_value", p_value, alert.p_value))
        if now != then
    ]


def _plain(value: Any) -> dict[str, Any]:
    """As it comes back from JSON."""
    plain: dict[str, Any] = json.loads(canonical(value))
    return plain


def _evidence(again: dict[str, Any], said: dict[str, Any]) -> list[str]:
    """Signal by signal, then whatever else the evidence says."""
    now = {each["signal"]: each for each in again.get("signals", [])}
    then = {each["signal"]: each for each in said.get("signals", [])}
    differences = []
    for name in sorted(now.keys() | then.keys()):
        one, two = now.get(name) or {}, then.get(name) or {}
        fields = [key for key in ("value", *sorted(one.keys() | two.keys())) if one.get(key) != two.get(key)]
        if fields:
            what = "is" if fields[0] == "value" else f"has the {fields[0]}"
            differences.append(
                f"signal {name} {what} {one.get(fields[0])!r} when derived again, the alert says {two.get(fields[0])!r}"
            )
    # Sentences only repeat the signals.
    told = {"signals", "sentences", "against"} if differences else {"signals"}
    for name in sorted((again.keys() | said.keys()) - told):
        differences += [
            f"evidence {place!r} is {now!r} when derived again, the alert says {then!r}"
            for place, now, then in _unlike(name, again.get(name), said.get(name))
        ]
    return differences


def _unlike(place: str, again: Any, said: Any) -> list[tuple[str, Any, Any]]:
    """Where two values differ, and how: the fields of objects one by one, the first few."""
    if again == said:
        return []
    if not (isinstance(again, dict) and isinstance(said, dict)):
        return [(place, again, said)]
    found = [
        each
        for key in sorted(again.keys() | said.keys())
        for each in _unlike(f"{place}.{key}", again.get(key), said.get(key))
    ]
    return found[:MOST_FIELDS]


def _by_profile(
    snapshot: Snapshot, engine: Engine, alert: Alert, detector: Detector, profile: Profiles
) -> list[str]:
    """One profile, judged by the reference that the alert names; what it says beside signals as far as it says it."""
    # After the profile: altered records are told although nobody has the reference any more.
    try:
        reference = find_reference(snapshot, alert.provenance["reference"])
    except LakeError as error:
        return [error.message]
    table = signal_table(profile, Context(reference.population))
    judgement = detector.judge(table, reference)
    said = _plain(alert.evidence)
    again: dict[str, Any] = {"signals": evidence(table, judgement, reference, 0)["signals"]}
    if "benign_explanation" in said:
        told = look_explanation(likeness(table, reference), judgement, 0)
        # Classes of another version are not at hand; what it said by them stays its word.
        if told["benign_explanation"]["classes"] == said["benign_explanation"].get("classes"):
            again |= told
    if "look_at" in said:
        blocks = record_blocks(
            snapshot, alert.members, None, None, COLUMNS, vector=alert.provenance["vector"], newest=NEWEST
        )
        again["look_at"] = telling_of(blocks, engine).get(alert.subject_id)
    return [
        *_numbers(alert, float(judgement.score[0]), float(judgement.p_value[0])),
        *_evidence(_plain(again), {name: said.get(name) for name in again}),
    ]
