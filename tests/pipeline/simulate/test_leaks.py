"""No single field gives an attacker away: the area under the curve of each statistic stays below .93."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import rankdata

from pipeline.fit.worlds import WorldSignals, simulate_signals
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

BOUND = 0.93
SETTINGS = WorldSettings(records=30_000, accounts=300, seed=404, attack_share=0.15, days=5)
NUMBERS = (
    "input_tokens",
    "output_tokens",
    "temperature",
    "top_p",
    "max_tokens",
    "choice_count",
    "latency_ms",
    "asn",
)
FLAGS = ("logprobs", "stream", "reasoning_requested")
WORDS = (
    "model",
    "status",
    "language",
    "country",
    "user_agent",
    "client_network",
    "organization_id",
    "payment_id",
)
HASHES = ("prompt_hash", "template_hash", "system_prompt_hash")


def area(values: np.ndarray, attack: np.ndarray) -> float:
    """Of an attacker having the larger value; a missing value is put in the middle."""
    filled = np.where(np.isnan(values), np.nanmedian(values), values)
    ranks = rankdata(filled)
    n = attack.sum()
    return float((ranks[attack].sum() - n * (n + 1) / 2) / (n * (~attack).sum()))


@pytest.fixture(scope="module")
def accounts() -> tuple[pa.Table, np.ndarray]:
    world = build_world(SETTINGS)
    table = pa.concat_tables(
        part.drop_columns(["embedding"]) for part in Traffic(world, datetime(2026, 1, 12, tzinfo=UTC))
    )
    table = table.append_column("hour", pc.hour(table["event_time"]))
    table = table.append_column("day", pc.day_of_week(table["event_time"]))
    columns = [*NUMBERS, *FLAGS, "hour"]
    for name in FLAGS:
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.int8()))
    wanted = [(name, how) for name in columns for how in ("mean", "stddev")]
    wanted += [(name, "count") for name in ("request_id", *NUMBERS, *WORDS, *HASHES)]
    wanted += [(name, "count_distinct") for name in (*WORDS, *HASHES, *NUMBERS, "hour", "day")]
    per_account = table.group_by("account_id").aggregate(wanted)
    truth = {label.account_id: label.attack for label in world.labels}
    return per_account, np.array([truth[name] for name in per_account["account_id"].to_pylist()])


def test_no_statistic_of_a_field_separates(accounts: tuple[pa.Table, np.ndarray]) -> None:
    table, attack = accounts
    n = table["request_id_count"].to_numpy().astype(float)
    worst = {}
    for name in table.column_names:
        if name == "account_id":
            continue
        values = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(float)
        for kind, numbers in (("", values), (" per record", values / n)):
            if np.isfinite(numbers).any():
                worst[name + kind] = max(area(numbers, attack), 1 - area(numbers, attack))
    assert len(worst) > 60
    assert {name: round(value, 3) for name, value in worst.items() if value >= BOUND} == {}


def test_account_ids_and_their_order_carry_no_hint(accounts: tuple[pa.Table, np.ndarray]) -> None:
    table, attack = accounts
    number = np.array(
        [int(name.removeprefix("acct_"), 16) for name in table["account_id"].to_pylist()], float
    )
    assert 0.35 < area(number, attack) < 0.65


@pytest.fixture(scope="module")
def world() -> WorldSignals:
    return simulate_signals(SETTINGS, looks=())


def test_no_signal_separates(world: WorldSignals) -> None:
    attack = world.attacking(world.whole)
    areas = {name: area(values, attack) for name, values in world.whole.columns.items()}
    worst = {name: round(max(value, 1 - value), 3) for name, value in areas.items()}
    assert {name: value for name, value in worst.items() if value >= BOUND} == {}
    # The check can fail: the label itself would be caught.
    assert area(attack.astype(float), attack) == 1.0
