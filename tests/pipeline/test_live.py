"""Live looks when partitions change hands, and after the next version: who is judged, how often, and by what."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline import alerts as alerts_module
from pipeline import live as live_module
from pipeline.alert_records import telling_of
from pipeline.alerts import Alert, find_reference, keep_reference
from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.classes import shipped_classes
from pipeline.clock import ManualClock
from pipeline.errors import LakeError
from pipeline.ingest import ingest_file
from pipeline.lake.reader import read_records
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.live import LakeSource, LiveScorer, LookSchedule, Snapshotted, live_scorer
from pipeline.records.decode import RecordDecoder
from pipeline.rederivation import rederive
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.engine import Engine
    from pipeline.lake import Lake
    from pipeline.profiles import Profiles

START = datetime(2026, 1, 12, tzinfo=UTC)
FOREVER = {"segment_seconds": float("inf"), "roll_up_seconds": float("inf")}


@pytest.fixture(scope="module")
def records() -> pa.Table:
    settings = WorldSettings(records=4000, accounts=8, seed=5, attack_share=0.1, days=3.0)
    return pa.concat_tables(Traffic(build_world(settings), START))


def make_lake(folder: Path, records: pa.Table) -> tuple[Lake, Engine]:
    lake = open_or_create_lake(folder / "lake", clock=ManualClock(START))
    path = folder / "log.parquet"
    pq.write_table(records, path)
    engine = engine_for(lake, "numpy")
    settings = LandingSettings(segment_records=700, **FOREVER)
    decoder = RecordDecoder(lake.config.space)
    ingest_file(lake, engine, decoder, path, clock=ManualClock(START), settings=settings)
    return lake, engine


class Counted:
    """A source that knows how many records there truly are of each account; nothing else of them is looked at."""

    def __init__(self, **truth: int) -> None:
        self.truth = dict(truth)

    def __call__(self, accounts: Sequence[str], _held: Sequence[pa.Table]) -> Snapshotted:
        names = np.array(sorted(set(accounts) & set(self.truth)), object)
        rows = np.array([self.truth[name] for name in names], np.int64)
        profiles: Any = _Rows(names, rows)
        return Snapshotted(profiles, {}, 0)


class _Rows(SimpleNamespace):
    """As much of `Profiles` as counting needs."""

    def __init__(self, names: np.ndarray, rows: np.ndarray) -> None:
        super().__init__(account_id=names, records=rows)

    def by_account(self) -> _Rows:
        return self

    def take(self, rows: np.ndarray) -> _Rows:
        return _Rows(self.account_id[rows], self.records[rows])


class Watched(LiveScorer):
    """Notes which look of which account was judged."""

    def __init__(self, source: Any, counts: dict[str, int] | None = None) -> None:
        super().__init__(source, SimpleNamespace(), counts=counts, references={})  # type: ignore[arg-type]
        self.looks: list[tuple[str, int]] = []

    def _judge(self, whole: Profiles, found: Snapshotted, look: int) -> list[Alert]:
        self.looks += [(str(name), look) for name in whole.account_id]
        return []

    def send(self, count: int, account: str = "a") -> None:
        """Accepted records, and the look that follows if one is due."""
        self.look(self.observe(pa.table({"account_id": [account] * count})), [])


def test_whoever_takes_a_partition_over_judges_no_look_that_was_reached_before() -> None:
    source = Counted(a=130)
    scorer = Watched(source)  # started before the account's first record
    for _ in range(7):
        source.truth["a"] += 10
        scorer.send(10)
    # Look 1 (100 records) was the other worker's; look 2 (200) is reached here, in time.
    assert source.truth["a"] == 200
    assert scorer.looks == [("a", 2)]


def test_records_that_are_read_again_bring_no_look_twice_and_none_too_early() -> None:
    source = Counted(a=120)
    scorer = Watched(source, {"a": 120})
    source.truth["a"] = 150
    for _ in range(3):
        scorer.send(30)
    assert scorer.looks == []
    source.truth["a"] = 205
    scorer.send(55)
    assert scorer.looks == [("a", 2)]
    for _ in range(5):
        scorer.send(55)
    assert scorer.looks == [("a", 2)]


@pytest.mark.parametrize("seed", range(20))
def test_no_look_is_spent_twice_however_records_arrive(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = Counted(a=0)
    scorer = Watched(source)
    looks: list[tuple[str, int]] = []
    for _ in range(400):
        more = int(rng.integers(1, 40))
        source.truth["a"] += more
        scorer.send(more)
        if rng.random() < 0.1:
            scorer.send(more)  # read again
        if rng.random() < 0.05:
            source.truth["a"] += int(rng.integers(1, 500))  # landed by another worker
        if rng.random() < 0.05:
            looks += scorer.looks
            scorer = Watched(source, dict(source.truth))  # restarted
    looks += scorer.looks
    assert len(looks) == len(set(looks))
    assert len(looks) >= 2


def test_an_undisturbed_account_is_judged_at_every_look() -> None:
    source = Counted(a=0)
    scorer = Watched(source)
    for _ in range(170):
        source.truth["a"] += 10
        scorer.send(10)
    assert scorer.looks == [("a", look) for look in range(6)]


def test_a_look_that_failed_is_still_to_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Counted(a=60)
    scorer = Watched(source)
    due = scorer.observe(pa.table({"account_id": ["a"] * 60}))

    def fails(*_: Any) -> list[Alert]:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(scorer, "_judge", fails)
        with pytest.raises(OSError, match="Input"):
            scorer.look(due, [])
    scorer.look(due, [])
    assert scorer.looks == [("a", 0)]


@pytest.fixture
def alerted(
    records: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Lake, Engine, list[Alert]]:
    """Live alerts about everybody, raised by a version whose look references nobody ships any more."""
    lake, engine = make_lake(tmp_path, records)
    scorer = live_scorer(lake, engine, LookSchedule(alpha=0.999999, margin=1))
    scorer._counts.clear()
    due = scorer.observe(records.select(["account_id"]))
    alerts = [Alert.from_row(each) for each in scorer.look(due, [])]
    assert alerts
    assert all(rederive(lake, alert, engine) == [] for alert in alerts)
    shipped = alerts_module.shipped_references()
    monkeypatch.setattr(alerts_module, "shipped_references", lambda: {"shipped": shipped["shipped"]})
    return lake, engine, alerts


def test_live_alerts_are_derived_again_by_the_next_version(
    alerted: tuple[Lake, Engine, list[Alert]],
) -> None:
    lake, engine, alerts = alerted
    for alert in alerts:
        assert rederive(lake, alert, engine) == []
    # Only what alerts were judged by is kept, each once.
    used = {str(alert.provenance["reference"]) for alert in alerts}
    assert lake.store.names("references") == sorted(f"{name}.json" for name in used)


def test_a_kept_reference_that_was_changed_or_lost_is_refused_after_the_records_were_checked(
    alerted: tuple[Lake, Engine, list[Alert]],
) -> None:
    lake, engine, (alert, *_) = alerted
    name = str(alert.provenance["reference"])
    place = lake.store.path(f"references/{name}.json")
    kept = json.loads(place.read_text())
    kept["population"][0] += 1
    place.write_text(json.dumps(kept))
    assert "it was changed" in rederive(lake, alert, engine)[-1]
    place.write_text("{}")
    with pytest.raises(LakeError, match="is not a reference"):
        find_reference(lake.snapshot(), name)
    place.unlink()
    altered = replace(alert, provenance={**alert.provenance, "profile": "0" * 64})
    first, last = rederive(lake, altered, engine)
    assert "records were altered" in first
    assert "is not in reference_populations" in last


def test_live_alerts_say_their_class_and_which_records_to_read(
    alerted: tuple[Lake, Engine, list[Alert]], records: pa.Table
) -> None:
    _, _, alerts = alerted
    counts = Counter(records["account_id"].to_pylist())
    read = 0
    for alert in alerts:
        benign = alert.evidence["benign_explanation"]
        assert benign["best_class"] in shipped_classes().names
        assert benign["shipped"]
        assert benign["unusual"]["of"] > 10
        # Nobody of the lake is there to compare with, so nothing is held against the account.
        assert benign["unusual"]["expected"] is None
        assert "neither is held against it" in benign["sentence"]
        assert "fits badly" not in benign["sentence"]
        if "look_at" in alert.evidence:
            read += 1
            theirs = set(
                records.filter(pc.equal(records["account_id"], alert.subject_id))["request_id"].to_pylist()
            )
            assert {each["request_id"] for each in alert.evidence["look_at"]["records"]} <= theirs
            assert alert.evidence["look_at"]["part"]["of"] == counts[alert.subject_id]
    assert read == sum(counts[alert.subject_id] <= live_module.READ_RECORDS for alert in alerts) > 0


def test_what_a_live_alert_says_is_derived_again_too(alerted: tuple[Lake, Engine, list[Alert]]) -> None:
    lake, engine, alerts = alerted
    alert = next(each for each in alerts if "look_at" in each.evidence)

    def with_evidence(**changed: Any) -> Alert:
        return replace(alert, evidence={**alert.evidence, **changed})

    benign, look_at = alert.evidence["benign_explanation"], alert.evidence["look_at"]
    (told,) = rederive(lake, with_evidence(benign_explanation={**benign, "best_class": "x"}), engine)
    assert "'benign_explanation." in told
    (told,) = rederive(lake, with_evidence(look_at={**look_at, "records": []}), engine)
    assert "'look_at." in told
    # By the classes of another version, which are not at hand: that much is not compared, the rest is.
    other = with_evidence(benign_explanation={**benign, "best_class": "x", "classes": "0" * 32})
    assert rederive(lake, other, engine) == []
    # Alerts of versions that said neither.
    plain = {
        name: each for name, each in alert.evidence.items() if name not in {"benign_explanation", "look_at"}
    }
    assert rederive(lake, replace(alert, evidence=plain), engine) == []


def test_held_records_are_read_as_landed_ones_are(records: pa.Table, tmp_path: Path) -> None:
    everything, engine = make_lake(tmp_path / "all", records)
    half, _ = make_lake(tmp_path / "half", records.slice(0, 2500))
    landed = read_records(everything.snapshot())
    (chain, head), *_ = half.snapshot().vector.items()
    rest = landed.filter(pc.greater_equal(landed["offset"], head)).sort_by("offset")
    topic = pa.array([chain.rpartition("/")[0]] * rest.num_rows)
    name = next(iter(sorted(set(rest["account_id"].to_pylist()))))
    held = rest.set_column(rest.schema.get_field_index("topic_id"), "topic_id", topic)
    for held_now in ([held], [held.slice(0, 700), held.slice(700)]):
        found = LakeSource(half, engine)([name], held_now)
        assert found.records is not None
        whole = LakeSource(everything, engine)([name], [])
        assert whole.records is not None
        assert telling_of([found.records([name])], engine) == telling_of([whole.records([name])], engine)


def test_of_many_alerts_only_some_records_are_read(
    records: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, engine = make_lake(tmp_path, records)
    monkeypatch.setattr(live_module, "READ_ACCOUNTS", 1)
    scorer = live_scorer(lake, engine, LookSchedule(first=51, alpha=0.999999, margin=1))
    scorer._counts.clear()
    alerts = [
        json.loads(each["evidence"])
        for each in scorer.look(scorer.observe(records.select(["account_id"])), [])
    ]
    by_look = Counter(each["look"]["records"] for each in alerts)
    assert max(by_look.values()) > 1
    assert Counter(each["look"]["records"] for each in alerts if "look_at" in each) == dict.fromkeys(
        by_look, 1
    )


def test_a_reference_is_kept_once(tmp_path: Path, records: pa.Table) -> None:
    lake, _ = make_lake(tmp_path, records.slice(0, 100))
    reference = alerts_module.shipped_references()["shipped"]
    keep_reference(lake.store, reference)
    before = lake.store.modified(f"references/{reference.fingerprint}.json")
    keep_reference(lake.store, reference)
    assert lake.store.modified(f"references/{reference.fingerprint}.json") == before


def test_counting_at_the_start_reads_no_profile(records: pa.Table, tmp_path: Path) -> None:
    lake, engine = make_lake(tmp_path, records.slice(0, 2500))
    # Beside the windows: segments that have none yet, with rejected records among them.
    clock = ManualClock(START)
    lander = PartitionLander(
        lake, engine, topic="t", topic_id="T", partition=0, cluster_id="c",
        settings=LandingSettings(**FOREVER), clock=clock,
    )  # fmt: skip
    lander.check(0, "T")
    from pipeline.records.encode import encode_json

    values = [*encode_json(records.slice(2500)), b"{", None]
    decoded = RecordDecoder(lake.config.space).decode_messages(
        values, topic_id="T", topic="t", partition=0, offsets=np.arange(len(values))
    )
    lander.accept(decoded, 0, len(values))
    lander.land()
    assert lake.snapshot().window_files()
    assert lake.snapshot().loose_files()
    nothing: Any = SimpleNamespace()  # an engine that can do nothing
    assert LakeSource(lake, nothing).counts() == Counter(records["account_id"].to_pylist())
