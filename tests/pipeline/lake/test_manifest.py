from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pytest
from lake_support import CLUSTER, SPACE, TOPIC, TOPIC_ID, make_lake, parameters

from pipeline.errors import ChainMoved, LakeError, SpaceMismatch
from pipeline.lake import Lake, Manifest, TableFile
from pipeline.lake.manifest import RunFile, Span
from pipeline.parameters import Parameters
from pipeline.spaces import EmbeddingSpace

PUBLISHER = """
import sys
from pipeline.lake import Lake, TableFile
lake, name = Lake.open(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[3])):
    lake.store.put_bytes(b"x", f"{name}-{n}")
    lake.publish(lambda m: m.with_tables("alerts", [TableFile(f"{name}-{n}", 1, 1, "x")], append=True))
"""


@pytest.fixture
def lake(tmp_path):
    return make_lake(tmp_path / "lake")


def a_file(path, run_id="r1", date="2026-01-01", kind="records"):
    return RunFile(run_id, date, kind, path, 1, 1, "digest")


def a_span(low, high, run_id="r1"):
    return Span(low, high, 1, high - low, 0, 0, "digest", run_id)


def test_no_manifest_is_number_0_and_says_nothing(lake):
    assert lake.manifest() == Manifest()
    assert lake.manifest(0).number == 0
    with pytest.raises(LakeError, match="no manifest 1"):
        lake.manifest(1)


def test_nothing_is_lost_when_processes_publish_at_once(lake):
    count = 12
    publishers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(lake.root), f"p{i}", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(3)
    ]
    for publisher in publishers:
        assert publisher.stdout.readline() == "ready\n"
    for publisher in publishers:
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
    for publisher in publishers:
        publisher.communicate()
        assert publisher.returncode == 0
    manifest = lake.manifest()
    assert manifest.number == 3 * count
    wanted = {f"p{i}-{n}" for i in range(3) for n in range(count)}
    assert {file.path for file in manifest.tables["alerts"]} == wanted
    for number in range(1, 3 * count):  # each is the one before plus one
        assert len(lake.manifest(number).tables["alerts"]) == number


def test_manifest_round_trip():
    manifest = Manifest(number=3, created_at="t", writer="w").with_run(
        "r1", about={"code": "c"}, files=[a_file("a")], spans={"t/0": a_span(0, 5)}
    )
    manifest = manifest.with_tables("alerts", [TableFile("x", 1, 2, "d")])
    assert Manifest.from_bytes(manifest.to_bytes(), "here") == manifest


def test_a_damaged_manifest_is_named():
    with pytest.raises(LakeError, match=r"m\.json is not a manifest"):
        Manifest.from_bytes(b"{", "m.json")


def test_a_run_joins_the_vector_and_replaces_whole_files():
    first = Manifest().with_run("r1", about={}, files=[a_file("a"), a_file("b")], spans={"t/0": a_span(0, 5)})
    assert first.absorbed == {"t/0": 5}
    second = first.with_run(
        "r2", about={}, files=[a_file("c", "r2")], spans={"t/0": a_span(5, 9, "r2")}, replaces=["a", "b"]
    )
    assert second.absorbed == {"t/0": 9}
    assert [file.path for file in second.files] == ["c"]
    assert list(second.runs) == ["r2"]
    assert [span.next_offset for span in second.spans["t/0"]] == [5, 9]


def test_a_run_on_stale_ground_is_refused():
    first = Manifest().with_run("r1", about={}, files=[a_file("a")], spans={"t/0": a_span(0, 5)})
    with pytest.raises(ChainMoved, match="absorbed up to 5; compact again"):
        first.with_run("r2", about={}, files=[], spans={"t/0": a_span(0, 7, "r2")})
    with pytest.raises(ChainMoved, match="not live any more"):
        first.with_run("r2", about={}, files=[], spans={}, replaces=["gone"])


def test_a_chain_never_goes_back(lake):
    lake.publish(lambda m: replace(m, absorbed={"t/0": 5}))
    with pytest.raises(LakeError, match="may not move chain t/0 back from 5 to 4"):
        lake.publish(lambda m: replace(m, absorbed={"t/0": 4}))
    with pytest.raises(LakeError, match="back from 5 to None"):
        lake.publish(lambda m: replace(m, absorbed={}))


def test_an_update_that_changes_nothing_publishes_nothing(lake):
    assert lake.publish(lambda m: m).number == 0


def test_ones_own_publication_is_recognised_after_a_failed_answer(tmp_path):
    from faulty_store import FaultyStore

    store = FaultyStore(tmp_path / "lake")
    lake = make_lake(tmp_path / "lake", store=store)
    store.put_bytes(b"rows", "x")
    put, calls = store.put_bytes, []

    def put_and_say_no(data, key):
        calls.append(put(data, key))
        return False

    store.put_bytes = put_and_say_no
    manifest = lake.publish(lambda m: m.with_tables("alerts", [TableFile("x", 1, 1, "d")]))
    assert calls == [True]
    assert manifest.number == 1


def test_a_file_that_is_not_there_is_not_published(lake):
    with pytest.raises(ChainMoved, match="swept before it was published"):
        lake.publish(lambda m: m.with_tables("alerts", [TableFile("x", 1, 1, "d")]))
    assert lake.manifest().number == 0


def test_tables_are_immutable_files_named_by_content(lake):
    table = pa.table({"a": [1, 2, 3]})
    first, again = lake.put_table("alerts", table), lake.put_table("alerts", table)
    assert first == again
    other = lake.put_table("alerts", pa.table({"a": [1]}))
    lake.publish(lambda m: m.with_tables("alerts", [first]))
    assert lake.snapshot().table_files("alerts") == [lake.store.path(first.path)]
    lake.publish(lambda m: m.with_tables("alerts", [other]))
    assert lake.snapshot().table_files("alerts") == [lake.store.path(other.path)]
    lake.publish(lambda m: m.with_tables("alerts", [first], append=True))
    assert len(lake.snapshot().table_files("alerts")) == 2


# The lake's own file


def test_a_lake_is_made_once_and_opened_with_the_same_configuration(tmp_path):
    lake = make_lake(tmp_path / "lake")
    assert Lake.open(tmp_path / "lake").config == lake.config
    assert Lake.open_or_create(tmp_path / "lake", parameters=parameters()).fingerprint == lake.fingerprint
    with pytest.raises(
        LakeError, match=r"another configuration: window_seconds is 3600, not 60; choose another"
    ):
        Lake.create(tmp_path / "lake", parameters=parameters(), window_seconds=60)
    with pytest.raises(LakeError, match="pseudonym_fingerprint is None, not 'abc'"):
        Lake.create(tmp_path / "lake", parameters=parameters(), pseudonym_fingerprint="abc")
    with pytest.raises(SpaceMismatch, match="test-model"):
        Lake.create(tmp_path / "lake", parameters=parameters(), space=EmbeddingSpace("other", 8))


def test_a_lake_explains_itself(tmp_path):
    make_lake(tmp_path / "lake")
    loaded = Lake.open(tmp_path / "lake").parameters
    assert loaded == parameters()
    other = Parameters.generate(SPACE, seed="other")
    other.save(tmp_path / "lake" / "parameters" / f"{parameters().fingerprint}.npz")
    with pytest.raises(LakeError, match="has fingerprint"):
        _ = Lake.open(tmp_path / "lake").parameters


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no lake"), (b"{}", "does not describe a lake"), (b'{"format": 99}', "lake format 99")],
)
def test_what_is_not_a_lake_is_said(tmp_path, content, message):
    if content is not None:
        (tmp_path / "lake.json").write_bytes(content)
    with pytest.raises(LakeError, match=message):
        Lake.open(tmp_path)


@pytest.mark.parametrize("seconds", [0, 7, 86_401])
def test_windows_divide_a_day(tmp_path, seconds):
    with pytest.raises(LakeError, match="has to divide a day"):
        Lake.create(tmp_path / "lake", parameters=parameters(), window_seconds=seconds)


# Chains


def test_a_chain_begins_once(lake):
    assert lake.head(TOPIC_ID, 3) is None
    assert lake.rollup_head(TOPIC_ID, 3) is None
    first = lake.begin(TOPIC_ID, 3, topic=TOPIC, start=7, cluster_id=CLUSTER)
    assert lake.begin(TOPIC_ID, 3, topic=TOPIC, start=99, cluster_id="other") == first
    assert Lake.open(lake.root).head(TOPIC_ID, 3) == 7
    assert [chain.key for chain in lake.chains()] == [f"{TOPIC_ID}/3"]
    assert lake.topic_ids(TOPIC) == [TOPIC_ID]
    assert lake.topic_ids("other") == []


@pytest.mark.parametrize("topic_id", ["", "../up", "a/b", "x" * 81])
def test_topic_ids_that_cannot_name_a_folder_are_refused(lake, topic_id):
    with pytest.raises(LakeError, match="cannot name a folder"):
        lake.begin(topic_id, 0, topic=TOPIC, start=0, cluster_id=CLUSTER)
