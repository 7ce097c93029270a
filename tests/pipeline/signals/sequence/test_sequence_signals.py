"""Sequence signals: registry, independence of arrival and of codes, and each against a plain reference."""

from __future__ import annotations

import doctest
import importlib
import math
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import pipeline.signals.sequence
from pipeline.backend import get_backend
from pipeline.errors import UsageError
from pipeline.parameters import Parameters
from pipeline.signals.sequence import COLUMNS, SEQUENCE_SIGNALS, AccountSequence, scan, sequences
from pipeline.signals.sequence.base import LATER_US, UNKNOWN, expected_distinct, same_pairs
from pipeline.signals.sequence.dependence import MINIMUM, dependence, indicators, ordered
from pipeline.signals.sequence.example import sequence
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

FOLDER = Path(pipeline.signals.sequence.__file__).parent
MODULES = [
    f"pipeline.signals.sequence.{path.stem}" for path in FOLDER.glob("*.py") if path.stem != "__init__"
]


def some_records(n: int = 160, seed: int = 5) -> AccountSequence:
    """Records with everything in them: sessions, repeats, several values of every field, nulls."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(rng.integers(0, 9, n // 8), 8)[:n]
    vectors = np.rint(rng.normal(size=(n, 32)) * 12).astype(np.int8)
    vectors[np.arange(n), subject] += 60
    gaps = np.where(np.arange(n) % 8 == 0, rng.integers(3_000, 40_000, n), rng.integers(1, 300, n))
    prompt = np.arange(n)
    again = rng.random(n) < 0.3
    for row in np.flatnonzero(again):
        prompt[row] = prompt[rng.integers(0, row + 1)]
    vectors = vectors[prompt]
    fields = ("template", "system_prompt", "sampling", "model", "network", "agent", "reasoning", "language")
    codes = {name: rng.integers(-1 if name == "template" else 0, 3, n) for name in fields}
    codes["model"] = (np.arange(n) > n * 0.6).astype(np.int64)
    return AccountSequence(
        vectors,
        1_767_225_600_000_000 + np.cumsum(gaps) * 1_000_000,
        subject,
        {"prompt": prompt, **codes},
        {name: rng.integers(1, 500, n) for name in ("input_tokens", "output_tokens")},
    )


def value(name: str, records: AccountSequence) -> float:
    return SEQUENCE_SIGNALS[name].value(records)


def cosines(records: AccountSequence) -> np.ndarray:
    x = records.vectors.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


@pytest.fixture(scope="module")
def traffic() -> pa.Table:
    world = build_world(WorldSettings(records=2400, accounts=8, seed=90_900, attack_share=0.25, days=4))
    return pa.concat_tables(list(Traffic(world, datetime(2026, 1, 12, tzinfo=UTC))))


def read(table: pa.Table, newest: int = 2000) -> dict[str, AccountSequence]:
    return dict(sequences(table, Parameters.default(), get_backend("numpy"), newest))


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0
    if module.rsplit(".", 1)[1] in SEQUENCE_SIGNALS:
        assert result.attempted >= 2


class TestRegistry:
    def test_every_signal_has_a_file_of_its_name_and_says_what_it_is(self) -> None:
        for name, signal in SEQUENCE_SIGNALS.items():
            assert (FOLDER / f"{name}.py").is_file()
            for text in (signal.units, signal.formula, signal.source, signal.sees, signal.misses):
                assert text
            assert re.search(r"\d", signal.sentence(0.25))

    def test_every_file_that_is_a_signal_is_registered(self) -> None:
        written = {
            path.stem for path in FOLDER.glob("*.py") if "SIGNAL = SequenceSignal(" in path.read_text()
        }
        assert written == set(SEQUENCE_SIGNALS)

    def test_no_name_is_one_of_the_profile_signals(self) -> None:
        from pipeline.signals import SIGNALS

        assert not set(SIGNALS) & set(SEQUENCE_SIGNALS)


@pytest.mark.parametrize("name", list(SEQUENCE_SIGNALS))
class TestEverySignal:
    def test_gives_a_number_where_there_is_everything(self, name: str) -> None:
        assert math.isfinite(value(name, some_records()))

    def test_too_few_records_have_no_value(self, name: str) -> None:
        for n in (0, 1, 2, 3, SEQUENCE_SIGNALS[name].minimum - 1):
            assert math.isnan(value(name, _first(n)))

    def test_is_never_infinite_and_never_fails(self, name: str) -> None:
        for n in (20, 21, 30, 50, 61):
            same = sequence([0] * n, prompts=[0] * n)
            instant = sequence(range(n), seconds=[0.0] * n)
            for records in (_first(n), same, instant, sequence(range(n)), sequence([0] * n)):
                assert not math.isinf(value(name, records))

    def test_codes_are_only_names(self, name: str) -> None:
        records = some_records()
        rng = np.random.default_rng(11)
        codes = {}
        for key, old in records.codes.items():
            table = rng.permutation(int(old.max()) + 1)
            codes[key] = np.where(old == UNKNOWN, UNKNOWN, table[np.maximum(old, 0)])
        again = replace(records, codes=codes)
        assert value(name, again) == value(name, records)

    def test_the_input_is_left_alone(self, name: str) -> None:
        records = some_records()
        before = records.vectors.copy(), records.time.copy(), records.topic.copy()
        value(name, records)
        for old, new in zip(before, (records.vectors, records.time, records.topic), strict=True):
            np.testing.assert_array_equal(old, new)


def _first(n: int) -> AccountSequence:
    whole = some_records()
    return AccountSequence(
        whole.vectors[:n],
        whole.time[:n],
        whole.topic[:n],
        {key: codes[:n] for key, codes in whole.codes.items()},
        {key: numbers[:n] for key, numbers in whole.numbers.items()},
    )


class TestReading:
    def test_arrival_does_not_matter(self, traffic: pa.Table) -> None:
        rng = np.random.default_rng(3)
        mixed = traffic.take(pa.array(rng.permutation(traffic.num_rows)))
        one, two = read(traffic), read(mixed)
        assert list(one) == list(two)
        assert list(one) == sorted(one, key=str.encode)
        for account, records in one.items():
            np.testing.assert_array_equal(records.vectors, two[account].vectors)
            np.testing.assert_array_equal(records.time, two[account].time)
            assert (np.diff(records.time) >= 0).all()
        account = next(iter(one))
        for name in SEQUENCE_SIGNALS:
            np.testing.assert_array_equal(value(name, one[account]), value(name, two[account]))

    def test_equal_times_and_ids_are_settled_by_the_contents(self, traffic: pa.Table) -> None:
        few = traffic.slice(0, 40)
        at = few.column_names.index
        few = few.set_column(at("request_id"), "request_id", pa.array(["same"] * 40))
        few = few.set_column(at("account_id"), "account_id", pa.array(["a"] * 40))
        few = few.set_column(
            at("event_time"), "event_time", pa.array([few["event_time"][0].as_py()] * 40, pa.timestamp("us"))
        )
        orders = [np.arange(40), np.arange(40)[::-1], np.random.default_rng(1).permutation(40)]
        seen = {read(few.take(pa.array(order)))["a"].vectors.tobytes() for order in orders}
        assert len(seen) == 1

    def test_only_the_newest_are_read(self, traffic: pa.Table) -> None:
        whole, newest = read(traffic), read(traffic, newest=50)
        for account, records in whole.items():
            np.testing.assert_array_equal(newest[account].time, records.time[-50:])

    def test_fields_are_those_of_the_records(self, traffic: pa.Table) -> None:
        rows = traffic.to_pylist()
        for account, records in read(traffic).items():
            mine = sorted(
                (r for r in rows if r["account_id"] == account),
                key=lambda r: (r["event_time"], r["request_id"]),
            )[-2000:]
            sampling = [(r["temperature"], r["top_p"], r["max_tokens"], r["choice_count"]) for r in mine]
            for name, truth in (
                ("prompt", [r["prompt_hash"] for r in mine]),
                ("sampling", sampling),
                ("model", [r["model"] for r in mine]),
            ):
                codes = records.codes[name]
                assert (
                    len(set(truth))
                    == len(set(codes.tolist()))
                    == len(set(zip(truth, codes.tolist(), strict=True)))
                )
            assert records.numbers["output_tokens"].tolist() == [r["output_tokens"] for r in mine]

    def test_nulls_are_unknown(self, traffic: pa.Table) -> None:
        at = traffic.column_names.index
        bare = traffic
        for name in ("prompt_hash", "template_hash", "output_tokens", "model"):
            bare = bare.set_column(at(name), name, pa.nulls(traffic.num_rows, traffic[name].type))
        for records in read(bare).values():
            assert (records.code("template") == UNKNOWN).all()
            assert (records.number("output_tokens") == UNKNOWN).all()
            assert math.isnan(value("model_dependence", records))
            # Without prompt hashes equal embeddings are equal prompts.
            counts = Counter(row.tobytes() for row in records.vectors)
            assert records.multiplicity.tolist() == sorted(counts.values(), reverse=True)

    def test_a_missing_column_is_named(self, traffic: pa.Table) -> None:
        with pytest.raises(UsageError, match="template_hash"):
            read(traffic.drop_columns(["template_hash"]))

    def test_nothing_gives_nothing(self, traffic: pa.Table) -> None:
        assert read(traffic.slice(0, 0).select(list(COLUMNS))) == {}


class TestAgainstPlainReferences:
    def test_session_coherence(self) -> None:
        records = some_records()
        c, t, p = cosines(records), records.time, records.code("prompt")
        follow = [c[i, i + 1] for i in range(len(t) - 1) if t[i + 1] - t[i] <= 600e6 and p[i] != p[i + 1]]
        pairs = np.mean([c[i, j] for i, j in combinations(range(len(t)), 2)])
        assert value("session_coherence", records) == pytest.approx(
            (np.mean(follow) - pairs) / (1 - pairs), rel=1e-4
        )

    def test_recency_similarity(self) -> None:
        records = some_records()
        c, t, p = cosines(records), records.time, records.code("prompt")
        pairs = [(i, j) for i, j in combinations(range(len(t)), 2) if p[i] != p[j]]
        now = np.mean([c[i, j] for i, j in pairs if t[j] - t[i] <= 600e6])
        then = np.mean([c[i, j] for i, j in pairs if t[j] - t[i] > LATER_US])
        assert value("recency_similarity", records) == pytest.approx((now - then) / (1 - then), rel=1e-4)

    def test_time_neighbours(self) -> None:
        records = some_records()
        c, p, n = cosines(records), records.code("prompt"), len(records)
        close, expected = 0, 0.0
        for i in range(n):
            best = max((j for j in range(n) if p[j] != p[i]), key=lambda j: (round(c[i, j], 6), -j))
            close += abs(best - i) <= 3
            expected += sum(1 for j in range(n) if j != i and abs(i - j) <= 3) / (n - 1)
        assert value("time_neighbours", records) == pytest.approx(
            np.log((close + 0.5) / (expected + 0.5)), rel=1e-6
        )

    def test_neighbour_distance(self) -> None:
        records = some_records()
        c, p, n = cosines(records), records.code("prompt"), len(records)
        places = []
        for i in range(n):
            distances = sorted(1 - c[i, j] for j in range(n) if p[j] != p[i])
            places.append(distances[math.ceil(len(distances) / 50) - 1])
        assert value("neighbour_distance", records) == pytest.approx(np.median(places), rel=1e-4)

    def test_repeat_share_is_what_drawing_gives(self) -> None:
        records = some_records()
        rng = np.random.default_rng(0)
        p = records.code("prompt")
        drawn = np.mean([len(set(rng.permutation(p)[:50])) for _ in range(4000)])
        assert value("repeat_share", records) == pytest.approx(1 - drawn / 50, abs=0.005)

    def test_repeat_lag_is_zero_in_random_order(self) -> None:
        rng = np.random.default_rng(2)
        prompts = [i // 3 for i in range(120)]
        values = [
            value("repeat_lag", sequence(range(120), prompts=rng.permutation(prompts).tolist()))
            for _ in range(60)
        ]
        assert np.mean(values) == pytest.approx(0.0, abs=0.03)

    def test_later_repeats(self) -> None:
        records = some_records()
        t, p = records.time, records.code("prompt")
        later = [(i, j) for i, j in combinations(range(len(t)), 2) if t[j] - t[i] > LATER_US]
        assert value("later_repeats", records) == pytest.approx(np.mean([p[i] == p[j] for i, j in later]))

    def test_fresh_slots(self) -> None:
        records = some_records()
        seen_prompts, seen_templates, fresh = set(), set(), []
        for prompt, template in zip(
            records.code("prompt").tolist(), records.code("template").tolist(), strict=True
        ):
            if template != UNKNOWN and template in seen_templates:
                fresh.append(prompt not in seen_prompts)
            seen_prompts.add(prompt)
            seen_templates.add(template)
        assert value("fresh_slots", records) == pytest.approx(np.mean(fresh))

    def test_modal_multiplicity_and_dispersion(self) -> None:
        records = some_records()
        counts = list(Counter(records.code("prompt").tolist()).values())
        repeated = Counter(c for c in counts if c > 1)
        size, times = min(repeated.items(), key=lambda item: (-item[1], item[0]))
        expected = times / sum(repeated.values()) * math.log2(size)
        assert value("modal_multiplicity", records) == pytest.approx(expected)
        assert value("multiplicity_dispersion", records) == pytest.approx(
            np.log1p(np.var(counts) / np.mean(counts))
        )

    def test_burstiness_of_random_times_is_zero(self) -> None:
        rng = np.random.default_rng(4)
        values = []
        for _ in range(60):
            times = np.cumsum(rng.exponential(100.0, 400))
            values.append(value("burstiness", sequence([0] * 400, seconds=times.tolist())))
        assert np.mean(values) == pytest.approx(0.0, abs=0.02)

    def test_hour_excess(self) -> None:
        records = some_records()
        moments = [datetime.fromtimestamp(t / 1e6, UTC) for t in records.time.tolist()]
        days = [(a, b) for a, b in combinations(moments, 2) if a.date() == b.date()]
        hours = sum(a.hour == b.hour for a, b in days)
        assert value("hour_excess", records) == pytest.approx(
            math.log2((24 * 2 * hours + 1) / (2 * len(days)))
        )

    def test_flat_days_have_no_hour_excess_and_no_rhythm(self) -> None:
        rng = np.random.default_rng(8)
        found = []
        for _ in range(20):
            times = np.sort(rng.uniform(0, 10 * 86_400, 300))
            records = sequence([0] * 300, seconds=times.tolist())
            found.append(
                (value("hour_excess", records), value("hour_rhythm", records), value("day_evenness", records))
            )
        np.testing.assert_allclose(np.mean(found, axis=0), [0, 0, 0], atol=0.06)

    def test_a_night_is_a_rest(self) -> None:
        times = [day * 86_400 + 9 * 3600 + i * 1200 for day in range(5) for i in range(24)]
        assert value("longest_rest", sequence(range(120), seconds=times)) == pytest.approx(
            24 - 23 * 1200 / 3600
        )

    def test_topic_signals_are_zero_in_random_order(self) -> None:
        rng = np.random.default_rng(6)
        topics = np.repeat(np.arange(6), 40)
        times = (np.arange(240) * 3600).tolist()
        found = []
        for _ in range(40):
            records = sequence(rng.permutation(topics).tolist(), seconds=times)
            found.append(
                [
                    value(name, records)
                    for name in (
                        "topic_persistence",
                        "topic_memory",
                        "chunk_coverage",
                        "day_overlap",
                        "wander",
                        "self_drift",
                    )
                ]
            )
        np.testing.assert_allclose(np.mean(found, axis=0), 0, atol=0.02)

    def test_topic_return(self) -> None:
        records = some_records()
        c, t, p = cosines(records), records.time, records.code("prompt").tolist()
        rows = [i for i in range(len(p)) if p[i] not in p[:i]]
        later = [c[i, j] >= 0.7 for i, j in combinations(rows, 2) if t[j] - t[i] > LATER_US]
        share = (50 * 2 * sum(later) + 1) / (2 * len(later) + 1)
        assert value("topic_return", records) == pytest.approx(math.log(share + 1e-3), rel=1e-6)

    def test_region_growth(self) -> None:
        records = some_records()
        c, n = cosines(records), len(records)
        fresh = [all(c[i, j] < 0.7 for j in range(i)) for i in range(n)]
        expected = math.log(sum(fresh) / sum(fresh[: n // 4])) / math.log(4)
        assert value("region_growth", records) == pytest.approx(expected, rel=1e-6)

    def test_prompt_growth_of_a_list_is_one_and_of_a_handful_zero(self) -> None:
        assert value("prompt_growth", sequence(range(200))) == pytest.approx(1.0)
        assert value(
            "prompt_growth", sequence(range(200), prompts=[i % 5 for i in range(200)])
        ) == pytest.approx(0.0, abs=1e-3)

    def test_model_pivot_finds_the_change(self) -> None:
        model = [0] * 70 + [1, 0] * 10 + [1] * 60
        best = 0.0
        change = 0.0
        for cut in range(15, 136):
            for m in (0, 1):
                a, b = np.mean(np.array(model[:cut]) == m), np.mean(np.array(model[cut:]) == m)
                z = (b - a) ** 2 * cut * (150 - cut)
                if z > best + 1e-9:
                    best, change = z, abs(b - a)
        assert value("model_pivot", sequence(range(150), model=model)) == pytest.approx(change)

    def test_model_pivot_takes_the_model_with_the_strongest_evidence(self) -> None:
        # Model 2 comes late and stays rare; model 1 replaces model 0 for good.
        model = [0] * 60 + [1, 1, 1, 1, 1, 1, 0, 0, 0] * 7 + [1, 1, 2, 1, 1]
        n, best, change = len(model), 0.0, 0.0
        for m in (0, 1, 2):
            is_m = np.array(model) == m
            share = is_m.mean()
            for cut in range(n // 10, n - n // 10 + 1):
                a, b = is_m[:cut].mean(), is_m[cut:].mean()
                z = (b - a) ** 2 * cut * (n - cut) / (share * (1 - share))
                if z > best + 1e-9:
                    best, change = z, abs(b - a)
        assert value("model_pivot", sequence(range(n), model=model)) == pytest.approx(change)
        assert change > 0.5

    def test_a_session_ends_with_ten_minutes_of_silence(self) -> None:
        times = np.cumsum([0, 599, 600, 601, 1, 1000, 1]).tolist()
        assert sequence(range(7), seconds=times).session.tolist() == [0, 0, 0, 1, 1, 2, 2]
        sizes = [3, 3, 3, 2, 2, 2, 2]
        records = sequence(range(28), seconds=[t + 10_000 * k for k in range(4) for t in times])
        assert value("session_length", records) == pytest.approx(math.log2(np.mean(sizes)))

    def test_expected_distinct_and_same_pairs(self) -> None:
        counts = np.array([5, 3, 1, 1])
        exact = sum(1 - math.comb(10 - c, 4) / math.comb(10, 4) for c in counts.tolist())
        assert expected_distinct(counts, 4) == pytest.approx(exact)
        codes = np.array([0, 0, 1, -1, 1, 1, 2])
        known = codes[codes >= 0].tolist()
        assert same_pairs(codes) == pytest.approx(np.mean([a == b for a, b in combinations(known, 2)]))


class TestDependence:
    def test_is_the_bias_corrected_distance_correlation(self) -> None:
        records = _first(40)
        features = indicators(records.code("sampling"))
        a, b, n = cosines(records), features @ features.T, 40

        def centre(kernel: np.ndarray) -> np.ndarray:
            out = np.zeros((n, n))
            total = sum(kernel[i, j] for i in range(n) for j in range(n) if i != j)
            for i in range(n):
                for j in range(n):
                    if i != j:
                        row = sum(kernel[i, k] for k in range(n) if k != i)
                        column = sum(kernel[k, j] for k in range(n) if k != j)
                        out[i, j] = kernel[i, j] - (row + column) / (n - 2) + total / ((n - 1) * (n - 2))
            return out

        one, two = centre(a), centre(b)
        r = (one * two).sum() / math.sqrt((one * one).sum() * (two * two).sum())
        expected = math.sqrt(n * (n - 3) / 2 - 1) * r / math.sqrt(1 - r * r)
        assert value("sampling_dependence", records) == pytest.approx(expected, rel=1e-3)

    def test_needs_no_permutations(self) -> None:
        rng = np.random.default_rng(9)
        values = []
        for _ in range(200):
            x = rng.integers(-40, 40, (60, 24)).astype(np.int8)
            records = AccountSequence(x, np.arange(60) * 1_000_000, np.zeros(60, np.int64))
            values.append(dependence(records, indicators(rng.integers(0, 3, 60)), np.ones(60, bool)))
        assert np.mean(values) == pytest.approx(0.0, abs=0.25)
        assert np.std(values) == pytest.approx(1.0, abs=0.25)

    def test_a_hidden_stream_stands_out(self) -> None:
        rng = np.random.default_rng(10)
        subject = np.where(np.arange(200) % 10 == 0, 9, rng.integers(0, 6, 200))
        hidden = (subject == 9).astype(np.int64)
        found = value("sampling_dependence", sequence(subject.tolist(), sampling=hidden.tolist()))
        mixed = value(
            "sampling_dependence", sequence(subject.tolist(), sampling=rng.permutation(hidden).tolist())
        )
        assert found > 10 > abs(mixed)

    def test_only_known_values_count(self) -> None:
        codes = [0, 1] * 20 + [-1] * 20
        directions = [0, 1] * 20 + [2] * 20
        whole = value("model_dependence", sequence(directions, model=codes))
        part = value("model_dependence", sequence(directions[:40], model=codes[:40]))
        assert whole == part
        assert math.isnan(
            value(
                "model_dependence", sequence([0, 1] * 30, model=[0] * (MINIMUM - 1) + [-1] * (61 - MINIMUM))
            )
        )

    def test_a_bent_relation_counts_too(self) -> None:
        tokens = np.arange(1, 121)
        middle = (np.abs(tokens - 60) < 25).astype(int)
        assert (
            value("output_length_dependence", sequence(middle.tolist(), output_tokens=tokens.tolist())) > 10
        )
        assert ordered(tokens).shape == (120, 2)


class TestScan:
    def planted(self) -> tuple[AccountSequence, np.ndarray]:
        """Chat of a few prompts in which every fifth record works off a list, under its own template."""
        rng = np.random.default_rng(12)
        hidden = np.arange(200) % 5 == 0
        prompts = np.where(hidden, 1000 + np.arange(200), rng.integers(0, 30, 200))
        return sequence(
            np.where(hidden, rng.integers(4, 16, 200), 0).tolist(),
            prompts=prompts.tolist(),
            template=np.where(hidden, 7, rng.integers(0, 3, 200)).tolist(),
        ), hidden

    def test_finds_the_part_and_its_records(self) -> None:
        records, hidden = self.planted()
        found = scan(records)
        assert found.excess > 6
        assert found.by == "template"
        np.testing.assert_array_equal(found.rows, hidden)
        assert found.inside > 0.9 > 0.4 > found.outside

    def test_is_the_largest_ratio_of_likelihoods(self) -> None:
        records = some_records()
        from pipeline.signals.sequence.scan import PROPERTIES, marks

        marked = marks(records)

        def likelihood(rows: np.ndarray) -> float:
            yes, n = int(marked[rows].sum()), int(rows.sum())
            return sum(k * math.log(k / n) for k in (yes, n - yes) if k)

        best = 0.0
        template = records.code("template")
        fields = [records.code(name) for name in PROPERTIES] + [records.topic]
        fields.append(np.where(template == UNKNOWN, UNKNOWN, records.topic * 100 + template))
        for codes in fields:
            for code in set(codes.tolist()) - {UNKNOWN}:
                rows = codes == code
                if 10 <= rows.sum() <= len(rows) - 10 and marked[rows].mean() > marked[~rows].mean():
                    best = max(
                        best, likelihood(rows) + likelihood(~rows) - likelihood(np.ones(len(rows), bool))
                    )
        assert scan(records).excess == pytest.approx(math.sqrt(2 * best))

    def test_without_parts_there_is_nothing(self) -> None:
        found = scan(sequence([0] * 60, prompts=[0] * 60))
        assert found.excess == 0
        assert not found.rows.any()
