"""The nightly job: recompute, compare byte for byte, compact, score again, publish at once.

It uses the engine and the landing of the stream, so what it finds different is a fault and not another method. It is
idempotent (nothing new: nothing published) and resumable (a run is named by its inputs; finished dates are kept), and
readers see the new run together with its scores or neither.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ChainMoved, UsageError, VerificationFailed
from pipeline.lake import Lake
from pipeline.lake.compaction import compact
from pipeline.lake.reader import iter_profiles, read_profiles
from pipeline.lake.recompute import MOST_DIFFERENCES, Difference, Recomputed, recompute
from pipeline.lake.sweep import sweep
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.profiles import Digester

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.clock import Clock
    from pipeline.engine import Engine
    from pipeline.lake import Manifest, Snapshot
    from pipeline.profiles import Profiles
    from pipeline.scoring import Scoring
    from pipeline.verification import KafkaSide

BATCH_WINDOWS = 4096
ATTEMPTS = 3


@dataclass(slots=True)
class Replayed:
    """What a replay did and found.

    ``run_id`` is None when nothing had landed since the last one. ``recomputed`` counts the windows of the date (or of all
    dates) that were recomputed from records. ``digest`` is that of all profiles before and after, which are equal.
    """

    date: date | None
    recomputed: Recomputed
    digest: str
    from_kafka: int | None = None
    run_id: str | None = None
    dates: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    segments: int = 0
    scored: Scoring | None = None
    manifest: int = 0
    published: bool = False
    swept: int = 0
    live_only: list[str] = field(default_factory=list)
    replay_only: list[str] = field(default_factory=list)
    both: list[str] = field(default_factory=list)


def replay(
    lake: Lake,
    engine: Engine,
    *,
    clock: Clock,
    day: date | None = None,
    kafka: KafkaSide | None = None,
    score: bool = True,
    publish_differences: bool = False,
    report: Callable[[str, int, int], None] | None = None,
) -> Replayed:
    """Replay a lake.

    Parameters
    ----------
    day
        Whose windows are compared and reported; None: all. What is absorbed does not depend on it.
    kafka
        Compute profiles from Kafka's own offsets as well, and hold the lake's against them.
    score
        Score every account again and publish the scores with the run.
    publish_differences
        Go on although landed windows differ from their records: the new run, computed from the records, replaces them.

    Raises
    ------
    VerificationFailed
        Landed windows or profiles differ from what the records give; nothing was published.
    ChainMoved
        Other compactions were published during every attempt; nothing of this one was.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            return _replay(lake, engine, clock, day, kafka, score, publish_differences, report)
        except ChainMoved:
            # What was compared is not what is there any more: everything again, over what the other one published.
            if not left:
                raise
    raise AssertionError


def _replay(
    lake: Lake,
    engine: Engine,
    clock: Clock,
    day: date | None,
    kafka: KafkaSide | None,
    score: bool,
    publish_differences: bool,
    report: Callable[[str, int, int], None] | None,
) -> Replayed:
    """One attempt."""
    tell = report or (lambda _what, _done, _total: None)
    snapshot = lake.snapshot()
    before = _digest(snapshot, engine, lambda done: tell("profiles as landed", done, 0))
    start, stop = _bounds(day)
    recomputed = recompute(
        snapshot, engine, start, stop, progress=lambda done, total: tell("recompute", done, total)
    )
    if recomputed.differences and not publish_differences:
        raise VerificationFailed(_differences_message(recomputed.differences))
    result = Replayed(day, recomputed, before, manifest=snapshot.manifest.number)
    if kafka is not None:
        result.from_kafka = _against_kafka(lake, snapshot, engine, kafka, clock, tell)

    scores: list[Scoring] = []

    def also(candidate: Snapshot) -> Callable[[Manifest], Manifest]:
        # What landed while this ran was not compared: it is neither held against the old digest nor judged.
        candidate = candidate.below(snapshot.vector)
        after = _digest(candidate, engine, lambda done: tell("profiles of the new run", done, 0))
        if after != before and not recomputed.differences:
            msg = (
                f"the new run gives profiles with digest {after}, landed were {before}; nothing was published. Find the "
                f"difference with `distillwatch verify --lake {lake.root} --all`"
            )
            raise VerificationFailed(msg)
        result.digest = after
        if not score:
            return lambda manifest: manifest
        from pipeline.scoring import judge_lake, publication

        scoring = judge_lake(candidate, engine, report=report)
        scores.append(scoring)
        return publication(lake, scoring)

    run = compact(
        lake,
        engine,
        # What is landed after the comparison waits for the next replay.
        vector=snapshot.vector,
        scope="touched",
        rewrite=_to_rewrite(snapshot, recomputed.differences),
        also=also,
        progress=lambda done, total: tell("dates written", done, total),
    )
    if run is not None:
        result.run_id, result.dates, result.resumed, result.segments = (
            run.run_id,
            run.dates,
            run.resumed,
            run.segments,
        )
    else:
        update = also(lake.snapshot())
        lake.publish(update)
    result.manifest = lake.manifest().number
    result.published = result.manifest != snapshot.manifest.number
    if scores:
        result.scored = scores[-1]
        _compare_alerts(lake, result, scores[-1])
    result.swept = sum(sweep(lake, clock=clock).removed.values())
    return result


def _bounds(day: date | None) -> tuple[datetime | None, datetime | None]:
    if day is None:
        return None, None
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)


def _digest(snapshot: Snapshot, engine: Engine, tell: Callable[[int], None]) -> str:
    digester, done = Digester(), 0
    for block in iter_profiles(snapshot, engine):
        digester.update(block)
        done += len(block)
        tell(done)
    return digester.hexdigest()


def _differences_message(differences: tuple[Difference, ...]) -> str:
    lines = [
        f"  {d.where}: landed {d.landed}, from records {d.recomputed} ({d.file})" for d in differences[:20]
    ]
    more = f"\n  and {len(differences) - 20} more" if len(differences) > 20 else ""
    return (
        f"{len(differences)} values of landed windows differ from their records; nothing was published:\n"
        + "\n".join(lines)
        + more
        + "\nThe records are what counts: --publish-differences replaces the windows by what the records give."
    )


def _to_rewrite(snapshot: Snapshot, differences: tuple[Difference, ...]) -> set[str]:
    """Dates of the runs with a landed value that does not follow from the records; roll-ups are replaced anyway."""
    if len(differences) >= MOST_DIFFERENCES:
        # The comparison ended there: what comes after may differ too.
        return {file.date for file in snapshot.manifest.files}
    found = {difference.file for difference in differences}
    return {file.date for file in snapshot.manifest.files if str(snapshot.store.path(file.path)) in found}


# From Kafka's offsets


def _against_kafka(
    lake: Lake,
    snapshot: Snapshot,
    engine: Engine,
    kafka: KafkaSide,
    clock: Clock,
    tell: Callable[[str, int, int], None],
) -> int:
    """Land the same offsets from Kafka into a lake beside, and compare profile by profile; gives their number."""
    with tempfile.TemporaryDirectory(prefix="distillwatch-replay-") as folder:
        shadow = Lake.create(
            Path(folder),
            parameters=lake.parameters,
            window_seconds=lake.config.window_seconds,
            pseudonym_fingerprint=lake.config.pseudonym_fingerprint,
            clock=clock,
        )
        vector = _land_from_kafka(shadow, snapshot, engine, kafka, clock, tell)
        compared = 0
        for theirs, ours in _pairs(shadow.snapshot(), snapshot, engine, vector):
            if not theirs.equals(ours):
                raise VerificationFailed(_first_difference(theirs, ours))
            compared += len(theirs)
            tell("profiles from Kafka", compared, 0)
    return compared


def _land_from_kafka(
    shadow: Lake,
    snapshot: Snapshot,
    engine: Engine,
    kafka: KafkaSide,
    clock: Clock,
    tell: Callable[[str, int, int], None],
) -> dict[str, int]:
    import numpy as np

    from pipeline.kafka import client

    vector: dict[str, int] = {}
    settings = LandingSettings(segment_seconds=float("inf"), roll_up_seconds=float("inf"))
    for tail in snapshot.tails.values():
        chain, topic = tail.chain, tail.origin.topic
        if chain.is_file:
            continue
        with client.connected(kafka.bootstrap_servers, kafka.security) as admin:
            if client.topic_id(admin, topic) != chain.topic_id:
                msg = f"topic {topic} at {kafka.bootstrap_servers} is not the one that was landed (id {chain.topic_id}); replay without Kafka"
                raise UsageError(msg)
            log_start = client.log_ranges(admin, topic)[chain.partition][0]
        if log_start > tail.origin.start:
            msg = (
                f"topic {topic}, partition {chain.partition}: Kafka starts at offset {log_start}, the chain began at {tail.origin.start}; "
                "profiles cannot be computed from Kafka alone any more. Replay from landed records, and hold what is left "
                "in Kafka against them with `distillwatch verify --bootstrap-servers`"
            )
            raise UsageError(msg)
        shadow.begin(
            chain.topic_id,
            chain.partition,
            topic=topic,
            start=tail.origin.start,
            cluster_id=tail.origin.cluster_id,
            clock=clock,
        )
        lander = PartitionLander(
            shadow,
            engine,
            topic=topic,
            topic_id=chain.topic_id,
            partition=chain.partition,
            cluster_id=tail.origin.cluster_id,
            settings=settings,
            clock=clock,
        )
        first, head = tail.origin.start, tail.head
        for fetched in client.read_range(
            kafka.bootstrap_servers, topic, chain.partition, first, head, security=kafka.security
        ):
            decoded = kafka.decoder.decode_messages(
                [record.value for record in fetched],
                topic_id=chain.topic_id,
                topic=topic,
                partition=chain.partition,
                offsets=np.fromiter((record.offset for record in fetched), np.int64, len(fetched)),
                append_times=np.fromiter((record.timestamp for record in fetched), np.int64, len(fetched)),
            )
            after = fetched[-1].offset + 1
            lander.accept(decoded, lander.next_offset, after)
            if lander.due():
                lander.land()
            if lander.roll_up_due():
                lander.roll_up()
            tell(f"reading {topic}/{chain.partition}", after - first, head - first)
        lander.land()
        lander.roll_up()
        vector[chain.key] = head
    return vector


def _pairs(
    shadow: Snapshot, snapshot: Snapshot, engine: Engine, vector: Mapping[str, int]
) -> Iterator[tuple[Profiles, Profiles]]:
    """The same accounts of both lakes, block by block; then accounts that only the lake has."""
    only_kafka = all(not tail.chain.is_file for tail in snapshot.tails.values())
    seen: list[str] = []
    for theirs in iter_profiles(shadow, engine, block_windows=BATCH_WINDOWS):
        accounts = list(dict.fromkeys(theirs.account_id.tolist()))
        seen += accounts
        # Records of files share accounts with the topic's; then only records below the vector count.
        yield theirs, read_profiles(snapshot, engine, accounts, vector=None if only_kafka else vector)
    if only_kafka:
        known = set(seen)
        for ours in iter_profiles(snapshot, engine, block_windows=BATCH_WINDOWS):
            extra = [account for account in dict.fromkeys(ours.account_id.tolist()) if account not in known]
            if extra:
                yield type(ours).empty(ours.parameters), ours.of_accounts(extra)


def _first_difference(theirs: Profiles, ours: Profiles) -> str:
    mine = {(a, int(w)): i for i, (a, w) in enumerate(zip(ours.account_id, ours.window_start, strict=True))}
    for i, key in enumerate(zip(theirs.account_id, theirs.window_start, strict=True)):
        place = mine.pop((key[0], int(key[1])), None)
        where = (
            f"account {key[0]}, window {datetime.fromtimestamp(int(key[1]) / 1e6, UTC):%Y-%m-%dT%H:%M:%SZ}"
        )
        if place is None:
            return f"{where}: its records are in Kafka, the lake has no profile of it"
        if not theirs.take(slice(i, i + 1)).equals(ours.take(slice(place, place + 1))):
            return (
                f"{where}: the lake's profile ({ours.records[place]} records) is not what Kafka's offsets give "
                f"({theirs.records[i]} records); see `distillwatch verify --bootstrap-servers`"
            )
    account, window = next(iter(mine))
    return f"account {account}, window {window}: the lake has a profile of it, Kafka has no record"


# Alerts


def _compare_alerts(lake: Lake, result: Replayed, scoring: Scoring) -> None:
    """Which subjects were accused live, by this replay, by both."""
    from pipeline.alerts import live_alerts

    live = {alert.subject_id for alert in live_alerts(lake)}
    now = {alert.subject_id for alert in scoring.alerts}
    result.both, result.live_only, result.replay_only = (
        sorted(live & now),
        sorted(live - now),
        sorted(now - live),
    )
