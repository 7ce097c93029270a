"""What the simulator promises: exact counts, order, determinism, the contract's columns, no hint of the labels."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.records.grid import check_grid
from pipeline.records.schema import body_fields
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.spaces import EmbeddingSpace

END = datetime(2026, 1, 12, 5, 30, tzinfo=UTC)
SETTINGS = WorldSettings(records=12_000, accounts=90, seed=11, attack_share=0.2, days=3)


def records(settings: WorldSettings = SETTINGS, rows: int = 5000) -> pa.Table:
    return pa.concat_tables(Traffic(build_world(settings), END, batch_rows=rows))


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return records()


def embeddings(table: pa.Table) -> np.ndarray:
    column = table["embedding"].combine_chunks()
    return np.frombuffer(column.buffers()[1], np.int8).reshape(-1, 384)


def test_exactly_as_many_records_as_asked_and_as_the_labels_say(table: pa.Table) -> None:
    assert table.num_rows == SETTINGS.records
    counted = Counter(table["account_id"].to_pylist())
    labels = build_world(SETTINGS).labels
    assert counted == {label.account_id: label.records for label in labels}
    assert len(set(table["request_id"].to_pylist())) == table.num_rows


def test_columns_are_the_record_contract_without_positions(table: pa.Table) -> None:
    assert table.schema.equals(pa.schema(body_fields(EmbeddingSpace())))
    for name in ("request_id", "account_id", "event_time", "embedding"):
        assert table[name].null_count == 0


def test_times_ascend_and_lie_in_the_period(table: pa.Table) -> None:
    times = table["event_time"].cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    end = int(END.timestamp() * 1e6)
    assert times[-1] < end
    assert times[0] >= end - 3.1 * 86_400e6


def test_vectors_lie_on_the_grid(table: pa.Table) -> None:
    check_grid(embeddings(table), EmbeddingSpace())


def test_same_seed_same_records_whatever_the_batches(table: pa.Table) -> None:
    assert records(rows=777).combine_chunks().equals(table.combine_chunks())


def test_other_seed_other_records(table: pa.Table) -> None:
    other = records(WorldSettings(records=12_000, accounts=90, seed=12, attack_share=0.2, days=3))
    assert not set(other["account_id"].to_pylist()) & set(table["account_id"].to_pylist())


def test_a_prompt_hash_names_one_embedding_within_an_account(table: pa.Table) -> None:
    keys = list(zip(table["account_id"].to_pylist(), table["prompt_hash"].to_pylist(), strict=True))
    vectors: dict[tuple[str, int], bytes] = {}
    repeats = 0
    for key, vector in zip(keys, table["embedding"].to_pylist(), strict=True):
        repeats += key in vectors
        assert vectors.setdefault(key, vector) == vector
    assert repeats > 500


def test_batches_have_the_size_asked_for() -> None:
    sizes = [part.num_rows for part in Traffic(build_world(SETTINGS), END, batch_rows=1000)]
    assert sizes == [1000] * 12


def test_a_world_without_attackers_has_none() -> None:
    labels = build_world(WorldSettings(records=2000, accounts=50, seed=3, attack_share=0.0)).labels
    assert not any(label.attack or label.attack_records for label in labels)


def test_hydra_members_share_no_prompt_of_their_harvest() -> None:
    settings = WorldSettings(records=60_000, accounts=120, seed=21, attack_share=0.5, days=2)
    world = build_world(settings)
    campaigns: dict[str, list[str]] = {}
    for label in world.labels:
        # Without cover traffic every prompt is the harvest's.
        if label.campaign and label.attack_records == label.records:
            campaigns.setdefault(label.campaign, []).append(label.account_id)
    members = max(campaigns.values(), key=len)
    assert len(members) >= 4
    made = pa.concat_tables(Traffic(world, END))
    sets = {}
    for account in members:
        mine = made.filter(pa.compute.equal(made["account_id"], account))
        sets[account] = set(mine["prompt_hash"].to_pylist())
    assert sum(map(len, sets.values())) == len(set().union(*sets.values()))


@pytest.mark.parametrize(
    ("field", "value"),
    [("records", 0), ("accounts", 0), ("attack_share", 1.5), ("days", 0.0), ("records", 5)],
)
def test_impossible_worlds_are_refused_by_name(field: str, value: float) -> None:
    arguments = {"records": 100, "accounts": 10, field: value}
    with pytest.raises(UsageError, match=field.replace("_", ".")):
        WorldSettings(**arguments)  # type: ignore[arg-type]
