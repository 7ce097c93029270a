"""Alerts derived again, and the outcome in words a person can act on: what does not hold, where it lies, the way out."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.clusters.find import cluster_id
from pipeline.errors import LakeError
from pipeline.lake.documents import file_digest
from pipeline.lake.ordering import contents_digest
from pipeline.lake.reader import read_profiles
from pipeline.lake.rowgroups import SortedFile
from pipeline.lake.selection import WindowRange, below
from pipeline.lake_records import joint_digest, record_digests
from pipeline.records.schema import segment_schema
from pipeline.rederivation import rederive_all
from pipeline.times import from_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pipeline.alerts import Alert
    from pipeline.engine import Engine
    from pipeline.lake import Lake, Snapshot

    Report = Callable[[str, int, int], None]

FILES = 5
"""Files that are named, with the offsets of the subject's records in them."""

_NEEDED = (
    *("vector", "manifest", "parameters", "detector", "reference", "start", "stop", "lookback", "look"),
    "profile",
)
_COMPARED = ("when derived again", "when the lake is judged again")
"""In differences between the alert and the same records judged again."""
DIGESTED = 50
"""Files that are held against their digests before the rest is left to `verify --all`."""


@dataclass(frozen=True, slots=True)
class Derived:
    """One alert derived again; without reasons it holds."""

    alert: Alert
    reasons: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the landed records give what the alert says."""
        return not self.reasons


def subject_of(alert: Alert) -> str:
    """As people call it."""
    return f"{alert.subject_kind} {alert.subject_id}"


def derive(
    lake: Lake, alerts: Sequence[Alert], engine: Engine, snapshot: Snapshot, report: Report | None = None
) -> list[Derived]:
    """Derive alerts again; each that does not hold says first what that means, then every difference."""
    lacking = {alert.alert_id: _lacks(alert) for alert in alerts}
    whole = [alert for alert in alerts if not lacking[alert.alert_id]]
    again = iter(_differences(lake, whole, engine, snapshot, report))
    return [
        Derived(alert, (f"its provenance lacks {', '.join(missing)}: there is nothing to derive it from",))
        if (missing := lacking[alert.alert_id])
        else Derived(alert, tuple(_reasons(lake, snapshot, engine, alert, next(again))))
        for alert in alerts
    ]


def _lacks(alert: Alert) -> list[str]:
    return [name for name in _NEEDED if name not in alert.provenance]


def _differences(
    lake: Lake, alerts: Sequence[Alert], engine: Engine, snapshot: Snapshot, report: Report | None
) -> list[list[str]]:
    """Together, because alerts of one run share its work; where one cannot be derived at all, one by one."""
    import pyarrow as pa

    if not alerts:
        return []
    try:
        return rederive_all(lake, alerts, engine, snapshot=snapshot, report=report)
    except (LakeError, pa.ArrowException, OSError) as error:
        if len(alerts) == 1:
            return [[f"it cannot be derived again: {error}"]]
    return [_differences(lake, [alert], engine, snapshot, report)[0] for alert in alerts]


def _reasons(
    lake: Lake, snapshot: Snapshot, engine: Engine, alert: Alert, differences: Sequence[str]
) -> list[str]:
    """What the differences mean, where that is known, and then these."""
    if not differences:
        return []
    meaning = _meaning(lake, snapshot, engine, alert, differences)
    return [*([] if meaning is None else [meaning]), *differences]


def _meaning(
    lake: Lake, snapshot: Snapshot, engine: Engine, alert: Alert, differences: Sequence[str]
) -> str | None:
    subject, place = subject_of(alert), shlex.quote(str(lake.root))
    everything = f"`distillwatch verify --lake {place} --all` names every file that is not as it was landed"
    if _are_others(snapshot, engine, alert):
        lie, changed = _places(snapshot, alert)
        restore = f"restore {', '.join(changed)}" if changed else "restore the lake"
        return (
            f"{subject}: its landed records are not those that were judged: records were altered, lost or added. "
            f"{lie} The alert proves nothing until they are again. Way out: {restore} from a copy of the lake and verify "
            f"again; {everything}; if what is landed now is right, `distillwatch score --lake {place}` judges that."
        )
    if any(word in each for each in differences for word in _COMPARED):
        return (
            f"{subject}: its landed records are those that were judged, but judged again they do not give what the alert says: "
            "records of other accounts, among which it was ranked, were altered, lost or added, or the alert itself was changed "
            "(if `verify --all` finds every file as it was landed and only the reference differs: another kind of processor scored it). "
            f"Way out: {everything}; restore these, or the lake's tables and alerts, from a copy of the lake and verify again."
        )
    return None


def _are_others(snapshot: Snapshot, engine: Engine, alert: Alert) -> bool:
    """Whether the subject's landed records are other than those that were judged."""
    import pyarrow as pa

    source = alert.provenance
    if source["parameters"] != engine.parameters.fingerprint:
        return False
    start, stop, vector = from_text(source["start"]), from_text(source["stop"]), source["vector"]
    try:
        profile = read_profiles(snapshot, engine, alert.members, start, stop, vector=vector).by_account()
        if set(alert.members) - set(profile.account_id):
            return True
        if alert.subject_kind == "cluster":
            profile = profile.total(cluster_id(alert.members))
        if profile.digest() != source["profile"]:
            return True
        if source.get("records") is None:
            return False
        digests = record_digests(snapshot, alert.members, start, stop, vector)
        return bool(joint_digest(digests, alert.members) != source["records"])
    except (LakeError, pa.ArrowException, OSError):
        # Not even readable.
        return True


def _places(snapshot: Snapshot, alert: Alert) -> tuple[str, list[str]]:
    """Where the subject's records lie, in a sentence, and the files among these that are not as they were landed."""
    root, lines, changed, files, records = snapshot.store.root, [], [], 0, 0
    kept = _digest_checks(snapshot)
    for path, found in _files(snapshot, alert):
        name, files = path.relative_to(root).as_posix(), files + 1
        if isinstance(found, str):
            changed.append(name)
            lines.append(f"{name} ({found})")
            continue
        records += len(found)
        if files <= DIGESTED and not kept[path]():
            changed.append(name)
            lines.append(
                f"{name} (offsets {min(found)} to {max(found)}, {len(found):,} records), WHICH IS NOT AS IT WAS LANDED"
            )
        elif len(lines) < FILES:
            lines.append(f"{name} (offsets {min(found)} to {max(found)}, {len(found):,} records)")
    if not lines:
        return "None of its records are landed below the alert's offsets.", changed
    more = f", and in {files - len(lines):,} more files" if files > len(lines) else ""
    whole = "" if changed or files > DIGESTED else " Each of these files has the digest it was landed with."
    counted = alert.evidence.get("records")
    then = f" (the alert counted {counted:,})" if isinstance(counted, int) and counted != records else ""
    return f"Its {records:,} records of that time{then} lie in {'; '.join(lines)}{more}.{whole}", changed


def _files(snapshot: Snapshot, alert: Alert) -> Iterator[tuple[Path, list[int] | str]]:
    """Each file with records of the subject, and their offsets; or why it cannot be read."""
    import pyarrow as pa

    source, names = alert.provenance, sorted(alert.members)
    within = WindowRange.of(
        from_text(source["start"]), from_text(source["stop"]), snapshot.config.window_microseconds
    )
    columns = ["account_id", "event_time", "topic_id", "partition", "offset"]
    for path in snapshot.record_files():
        try:
            rows = below(within.keep(SortedFile(path).of_accounts(names, columns)), source["vector"])
        except (LakeError, pa.ArrowException, OSError) as error:
            yield path, f"it cannot be read: {error}"
            continue
        if rows.num_rows:
            yield path, rows["offset"].to_pylist()


def _digest_checks(snapshot: Snapshot) -> dict[Path, Callable[[], bool]]:
    """For each file of records, whether it is what was landed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def segment(path: Path, wanted: str) -> bool:
        try:
            rows = pq.read_table(path, schema=segment_schema(snapshot.config.space), partitioning=None)
        except (pa.ArrowException, OSError):
            return False
        return contents_digest(rows) == wanted

    checks: dict[Path, Callable[[], bool]] = {}
    for each in snapshot.segments:
        path = snapshot.store.path(each.key)
        checks[path] = lambda path=path, wanted=each.contents_digest: segment(path, wanted)  # type: ignore[misc]
    for file in snapshot.manifest.run_files("records"):
        path = snapshot.store.path(file.path)
        checks[path] = lambda path=path, wanted=file.digest: file_digest(path) == wanted  # type: ignore[misc]
    return checks
