"""The registry, its agreement with the tables, and each signal on profiles whose answer is known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import pipeline.signals
from pipeline.errors import UsageError
from pipeline.parameters import Parameters
from pipeline.profiles import Profiles
from pipeline.signals import SIGNALS, Context, Population, SignalTable, signal_table
from pipeline.signals.base import slim
from pipeline.signals.example import example
from pipeline.tables import SIGNAL_COLUMNS


def some_profiles(accounts: int = 5, seed: int = 3) -> Profiles:
    """Random profiles with everything filled in."""
    rng = np.random.default_rng(seed)
    blank = Profiles.empty(Parameters.default())
    n = np.arange(1, accounts + 1) * 40
    light = rng.integers(0, 20, (accounts, blank.light.shape[1]))
    light[:, 0], light[:, 3] = n, n * 126_000
    half = rng.normal(size=(accounts, 32, 40)) * 50
    rows, columns = np.tril_indices(32)
    moment = np.rint(half @ half.transpose(0, 2, 1))[:, rows, columns].astype(np.int64)
    hashes = np.sort(rng.integers(0, 2**63, (accounts, 3, 64), dtype=np.uint64), axis=2)
    return Profiles(
        blank.parameters,
        np.array([f"a{i}" for i in range(accounts)], object),
        np.zeros(accounts, np.int64),
        light,
        rng.integers(0, 30, (accounts, blank.cells.shape[1])),
        rng.integers(-1000, 1000, (accounts, 384)),
        moment,
        rng.integers(-9000, 9000, (accounts, 256)),
        hashes,
    )


def context(profiles: Profiles) -> Context:
    return Context(Population.of(profiles))


def test_profile_signals_are_the_first_columns_of_the_tables_in_order() -> None:
    assert SIGNAL_COLUMNS[: len(SIGNALS)] == tuple(SIGNALS)


def test_every_signal_has_a_file_of_its_name_and_says_what_it_is() -> None:
    folder = Path(pipeline.signals.__file__).parent
    for name, signal in SIGNALS.items():
        assert (folder / f"{name}.py").is_file()
        for text in (signal.units, signal.formula, signal.source, signal.sees, signal.misses):
            assert text
        assert re.search(r"\d", signal.sentence(0.25))


@pytest.mark.parametrize("name", list(SIGNALS))
class TestEverySignal:
    def test_gives_a_number_for_every_account(self, name: str) -> None:
        profiles = some_profiles()
        values = SIGNALS[name].compute(profiles, context(profiles))
        assert values.shape == (5,)
        assert values.dtype == np.float64
        assert not np.isinf(values).any()
        assert np.isfinite(values[-1])

    def test_one_account_equals_a_batch_of_one(self, name: str) -> None:
        profiles = some_profiles()
        around = context(profiles)
        together = SIGNALS[name].compute(profiles, around)
        alone = [SIGNALS[name].compute(profiles.take(slice(i, i + 1)), around)[0] for i in range(5)]
        np.testing.assert_array_equal(together, alone)

    def test_nothing_gives_nothing(self, name: str) -> None:
        empty = Profiles.empty(Parameters.default())
        assert SIGNALS[name].compute(empty, context(empty)).shape == (0,)

    def test_an_account_without_records_has_no_value(self, name: str) -> None:
        profiles = some_profiles()
        value = SIGNALS[name].compute(example(records=0), context(profiles))[0]
        assert np.isnan(value)

    def test_the_input_is_left_alone(self, name: str) -> None:
        profiles = some_profiles()
        before = profiles.digest()
        SIGNALS[name].compute(profiles, context(profiles))
        assert profiles.digest() == before


def test_what_never_arrived_has_no_value_instead_of_zero() -> None:
    table = signal_table(example(records=100), Context())
    for name in (
        "prompt_repeat_rate",
        "slots_per_template",
        "template_share",
        "network_entropy",
        "population_mmd2",
    ):
        assert np.isnan(table.columns[name][0]), name


def test_rarefied_coverage_is_what_drawing_gives() -> None:
    profile = example(records=200, askable={"topic_count": {0: 120, 1: 50, 2: 20, 3: 9, 4: 1}})
    rng = np.random.default_rng(0)
    topics = np.repeat(np.arange(5), [120, 50, 20, 9, 1])
    drawn = np.mean([len(set(rng.permutation(topics)[:50])) for _ in range(4000)])
    assert SIGNALS["topic_coverage"].compute(profile, Context())[0] == pytest.approx(drawn, abs=0.03)


def test_a_slim_profile_is_enough_for_signals_that_need_the_population() -> None:
    profiles = some_profiles()
    late = [signal for signal in SIGNALS.values() if signal.needs_population]
    assert late
    for signal in late:
        whole = signal.compute(profiles, context(profiles))
        np.testing.assert_array_equal(signal.compute(slim(profiles), context(profiles)), whole)


def test_populations_add_up() -> None:
    profiles = some_profiles()
    one, two = profiles.take(slice(0, 2)), profiles.take(slice(2, 5))
    assert Population.of(one).plus(Population.of(two)) == Population.of(profiles)


def test_windows_that_were_not_added_up_are_refused() -> None:
    profiles = some_profiles(2)
    twice = profiles.replace_keys(np.array(["a", "a"], object), np.array([0, 1]))
    with pytest.raises(UsageError, match="2 profiles of 1 accounts"):
        signal_table(twice, Context())


def test_tables_join_and_no_tables_give_no_rows() -> None:
    profiles = some_profiles()
    whole = signal_table(profiles, context(profiles))
    parts = [signal_table(profiles.take(slice(a, b)), context(profiles)) for a, b in ((0, 2), (2, 5))]
    joined = SignalTable.joined(parts, list(SIGNALS))
    for name in SIGNALS:
        np.testing.assert_array_equal(joined.columns[name], whole.columns[name])
    assert len(SignalTable.joined([], list(SIGNALS))) == 0
