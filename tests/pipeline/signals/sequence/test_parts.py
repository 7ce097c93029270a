"""The part that looks like a list: found where planted, not found where nothing is, and no worse for many parts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from pipeline.errors import UsageError
from pipeline.records_to_look_at import carrying_records, records_to_look_at
from pipeline.signals.sequence import SEQUENCE_SIGNALS, AccountSequence, part_of
from pipeline.signals.sequence.base import LATER_US, UNKNOWN
from pipeline.signals.sequence.parts import PRIOR
from pipeline.signals.sequence.parts_candidates import CUTS, MINIMUM, ContentTree, candidates
from pipeline.signals.sequence.parts_evidence import FEATURES, channels, of_parts
from pipeline.signals.sequence.parts_example import two_uses

PARTS = [name for name in SEQUENCE_SIGNALS if name.startswith("part_")]


def truth(people: int, listed: int, seed: int) -> np.ndarray:
    own: np.ndarray = two_uses(people, listed, seed=seed).code("sampling")
    found: np.ndarray = own == 1
    return found


def overlap(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Precision and recall."""
    hit = (found & true).sum()
    return hit / max(1, found.sum()), hit / true.sum()


def streams(count: int, each: int, seed: int) -> AccountSequence:
    """Honest streams in turns: every one with parameters of its own, a few subjects, prompts that come again."""
    rng = np.random.default_rng(seed)
    n, dimension = count * each, 96
    stream = rng.permutation(np.repeat(np.arange(count), each))
    subject = stream * 3 + rng.integers(0, 3, n)
    asked = subject * 5 + rng.integers(0, 5, n)
    centres = rng.normal(size=(3 * count, dimension))
    texts = centres[np.arange(15 * count) // 5] + 0.6 * rng.normal(size=(15 * count, dimension))
    texts /= np.sqrt((texts**2).sum(axis=1, keepdims=True))
    vectors = np.rint(texts[asked] * 400).clip(-127, 127).astype(np.int8)
    time = 1_767_225_600_000_000 + np.cumsum(rng.integers(30, 600, n)) * 1_000_000
    codes = {"prompt": asked, "sampling": stream, "template": stream, "system_prompt": stream}
    return AccountSequence(vectors, time, subject, codes)


class TestPlanted:
    @pytest.mark.parametrize("metadata", [True, False])
    @pytest.mark.parametrize(("people", "listed"), [(60, 60), (150, 50), (270, 30)])
    def test_part_is_found(self, people: int, listed: int, metadata: bool) -> None:
        for seed in range(4):
            part = part_of(two_uses(people, listed, metadata=metadata, seed=seed))
            precision, recall = overlap(part.rows, truth(people, listed, seed))
            assert precision >= 0.9
            assert recall >= 0.9
            assert not part.is_whole
            assert part.bound > part.account

    def test_records_named_are_of_the_list(self) -> None:
        records = two_uses(150, 50)
        rows = carrying_records(records, part_of(records))
        assert len(rows) == 20
        assert truth(150, 50, 1)[rows].all()

    def test_evidence_of_a_hidden_list_exceeds_that_of_people(self) -> None:
        hidden = [part_of(two_uses(270, 30, seed=seed)).bound for seed in range(4)]
        people = [part_of(two_uses(300, 0, seed=seed)).bound for seed in range(4)]
        assert min(hidden) > max(people)

    def test_ten_honest_streams_are_no_list(self) -> None:
        hidden = [part_of(two_uses(270, 30, seed=seed)).bound for seed in range(4)]
        honest = [part_of(streams(10, 30, seed)).bound for seed in range(4)]
        assert min(hidden) > max(honest) + 0.8


class TestNull:
    """Labels that have nothing to do with the records: the best of many parts is no better than the account."""

    @staticmethod
    def labelled(n: int, values: int, fields: int, seed: int) -> AccountSequence:
        rng = np.random.default_rng([seed, n, values, fields])
        vectors = np.rint(rng.normal(size=(n, 24)) * 30).clip(-127, 127).astype(np.int8)
        # Prompts and vectors are of people who ask again now and then.
        prompt = np.where(rng.random(n) < 0.4, rng.integers(0, n // 4, n), np.arange(n))
        names = ("template", "system_prompt", "sampling", "model", "agent", "network")[:fields]
        return AccountSequence(
            vectors[prompt],
            1_767_225_600_000_000 + np.cumsum(rng.integers(30, 4000, n)) * 1_000_000,
            rng.integers(0, 12, n)[prompt],
            {"prompt": prompt, **{name: rng.integers(0, values, n) for name in names}},
        )

    @staticmethod
    def excess(records: AccountSequence) -> tuple[float, float]:
        """Best by metadata alone: with the penalty, and without it."""
        per_record = channels(records)
        from pipeline.signals.sequence.parts import record_terms, scores

        names, rows, log_sets = candidates(records, record_terms(per_record))
        keep = np.array(["content" not in name for name in names])
        features = of_parts(records, per_record, rows[keep])
        odds, bound = scores(per_record, features, rows[keep].sum(axis=1), log_sets[keep])
        return float(bound[1:].max() - odds[0]), float(odds[1:].max() - odds[0])

    def test_bound_is_flat_in_records_and_in_parts(self) -> None:
        cases = [(100, 2, 1), (100, 5, 6), (400, 2, 1), (400, 12, 6)]
        found = {
            case: np.array([self.excess(self.labelled(*case, seed)) for seed in range(16)]) for case in cases
        }
        for both in found.values():
            # Hardly ever above the account, whatever the number of parts.
            assert (both[:, 0] > 0).mean() <= 0.12
        # Without the penalty, six fields with twelve values always give a part that beats the account.
        assert (found[400, 12, 6][:, 1] > 0).mean() > 0.9

    def test_a_list_with_random_labels_stays_whole(self) -> None:
        rng = np.random.default_rng(3)
        base = two_uses(0, 200, metadata=False)
        records = replace(base, codes={name: rng.integers(0, 8, 200) for name in ("template", "sampling")})
        assert part_of(records).is_whole


class TestInvariance:
    def test_names_of_values_do_not_show(self) -> None:
        records = two_uses(90, 30)
        codes = {name: np.where(old == UNKNOWN, UNKNOWN, 7 - 3 * old) for name, old in records.codes.items()}
        codes["prompt"] = codes["prompt"] + 100_000
        again = part_of(replace(records, codes=codes))
        first = part_of(records)
        np.testing.assert_array_equal(again.rows, first.rows)
        assert replace(again, rows=first.rows) == replace(first, rows=first.rows)

    @pytest.mark.parametrize("metadata", [True, False])
    def test_ties_and_threads_leave_no_trace(self, metadata: bool) -> None:
        records = two_uses(90, 30, metadata=metadata)
        again = part_of(replace(records))
        assert again is not part_of(records)
        np.testing.assert_array_equal(again.rows, part_of(records).rows)
        assert again.bound == part_of(records).bound

    def test_found_once(self) -> None:
        records = two_uses(90, 30)
        assert part_of(records) is part_of(records)


class TestCandidates:
    @pytest.mark.parametrize(
        "records", [two_uses(90, 30), two_uses(90, 30, metadata=False), streams(10, 30, 1)]
    )
    def test_each_is_different_and_large_enough(self, records: AccountSequence) -> None:
        names, rows, log_sets = candidates(records, np.arange(len(records), dtype=np.float64) % 7)
        assert len(names) == len(rows) == len(log_sets)
        assert rows[0].all()
        size = rows[1:].sum(axis=1)
        assert ((size >= MINIMUM) & (size <= len(records) - MINIMUM)).all()
        assert len({row.tobytes() for row in rows}) == len(rows)
        assert (log_sets >= 0).all()

    def test_values_with_few_records_are_not_put_in_order(self) -> None:
        base = two_uses(60, 60, metadata=False)
        records = replace(base, codes={"template": np.arange(120)})
        names, _, _ = candidates(records, np.arange(120.0))
        assert not any("template" in name and name.startswith("several") for name in names)

    def test_a_union_counts_the_sets_it_was_chosen_from(self) -> None:
        names, rows, log_sets = candidates(streams(10, 30, 1), np.arange(300.0))
        for name, mine, log in zip(names, rows, log_sets, strict=True):
            if name == "several values of sampling":
                k = round(mine.sum() / 30)
                assert log == pytest.approx(math.log(math.comb(10, k)), abs=1e-6)

    def test_too_few_records_have_no_part(self) -> None:
        part = part_of(two_uses(10, 9))
        assert part.is_whole
        assert part.tried == 1


class TestContentTree:
    """Against sets of leaves, and against scipy's own cut."""

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("kinds", [3, 1000])
    def test_branches_and_cuts(self, seed: int, kinds: int) -> None:
        # Few kinds of points: many joins at one height, and at none.
        links = linkage(np.random.default_rng(seed).integers(0, kinds, (2 * max(CUTS), 2)), "average")
        tree, m = ContentTree.of(links), len(links) + 1
        leaves = [{leaf} for leaf in range(m)]
        for left, right, _, _ in links.tolist():
            leaves.append(leaves[int(left)] | leaves[int(right)])
        place = tree.first[:m]
        for node, mine in enumerate(leaves):
            inside = (tree.first[node] <= place) & (place <= tree.last[node])
            assert set(np.flatnonzero(inside).tolist()) == mine
        for most in (1, 2, *CUTS, m - 1):
            ours, theirs = tree.cut(most)[place], fcluster(links, most, "maxclust")
            np.testing.assert_array_equal(ours[:, None] == ours, theirs[:, None] == theirs)


class TestFeatures:
    """Against plain loops over pairs."""

    @pytest.mark.parametrize("seed", [1, 2])
    def test_means_and_pairs(self, seed: int) -> None:
        records = two_uses(40, 20, seed=seed)
        n = len(records)
        x = records.vectors.astype(np.float64)
        unit = x / np.sqrt((x**2).sum(axis=1, keepdims=True))
        rows = np.stack([np.ones(n, bool), records.code("sampling") == 1, np.arange(n) % 3 == 0])
        found = dict(zip(FEATURES, of_parts(records, channels(records), rows).T, strict=True))
        for place, mine in enumerate(rows):
            members = np.flatnonzero(mine)
            within, crowded, again = [], [], []
            for i in members:
                others = [j for j in range(n) if records.prompt[j] != records.prompt[i]]
                near = [
                    unit[i] @ unit[j] for j in others if abs(records.time[j] - records.time[i]) <= LATER_US
                ]
                within.append(max([0.0, *near]))
                crowded.append(max(unit[i] @ unit[j] for j in others) >= 0.7)
                again.append(math.log((records.prompt == records.prompt[i]).sum()))
            pairs = [(i, j) for i, j in combinations(members, 2) if records.prompt[i] != records.prompt[j]]
            assert found["near_in_time"][place] == pytest.approx(np.mean(within), abs=2e-6)
            assert found["crowded"][place] == pytest.approx(np.mean(crowded), abs=2e-6)
            assert found["again"][place] == pytest.approx(np.mean(again), abs=2e-6)
            assert found["one_topic"][place] == pytest.approx(
                np.mean([records.topic[i] == records.topic[j] for i, j in pairs]), abs=2e-6
            )
            assert found["alike"][place] == pytest.approx(
                np.mean([unit[i] @ unit[j] for i, j in pairs]), abs=0.01
            )
            rest = np.flatnonzero(~mine)
            apart = 0.0
            if len(rest):
                apart = (
                    np.mean([unit[i] @ unit[j] for i, j in combinations(members, 2)]) / 2
                    + np.mean([unit[i] @ unit[j] for i, j in combinations(rest, 2)]) / 2
                    - np.mean([unit[i] @ unit[j] for i in members for j in rest])
                )
            assert found["apart"][place] == pytest.approx(apart, abs=0.01)

    def test_a_small_part_is_shrunk_to_the_account(self) -> None:
        part = part_of(two_uses(90, 30))
        size = part.rows.sum()
        from pipeline.signals.sequence.parts import INTERCEPT, WEIGHTS

        records = two_uses(90, 30)
        whole = dict(
            zip(FEATURES, of_parts(records, channels(records), np.ones((1, 120), bool))[0], strict=True)
        )
        shrunk = {
            name: (size * part.inside[name] + PRIOR * whole[name]) / (size + PRIOR) for name in FEATURES
        }
        assert part.evidence == pytest.approx(
            INTERCEPT + sum(w * shrunk[k] for k, w in WEIGHTS.items()), abs=1e-5
        )


class TestRecordsToLookAt:
    @staticmethod
    def table(records: AccountSequence) -> pa.Table:
        n = len(records)
        own = records.code("sampling")
        columns = {
            "request_id": [f"r{i}" for i in range(n)],
            "event_time": pa.array(records.time).cast(pa.timestamp("us", "UTC")),
            "template_hash": pa.array((own + 2).astype(np.uint64) << np.uint64(62)),
            "system_prompt_hash": pa.nulls(n, pa.uint64()),
            "temperature": own.astype(np.float64),
            "top_p": pa.nulls(n, pa.float64()),
            "max_tokens": pa.array(np.full(n, 512)),
            "choice_count": pa.nulls(n, pa.int64()),
            "model": ["m"] * n,
            "user_agent": pa.nulls(n, pa.string()),
            "client_network": pa.nulls(n, pa.string()),
            "reasoning_requested": pa.nulls(n, pa.bool_()),
        }
        return pa.table(columns)

    def test_part_in_words_and_numbers(self) -> None:
        records = two_uses(150, 50)
        found = json.loads(json.dumps(records_to_look_at(self.table(records), records)))
        assert found["part"]["records"] == 50
        assert found["part"]["of"] == 200
        assert not found["part"]["whole_account"]
        assert {each["property"] for each in found["part"]["common"]} == {"template", "sampling"}
        values = {each["property"]: each["value"] for each in found["part"]["common"]}
        assert values["sampling"] == {
            "temperature": 1.0,
            "top_p": None,
            "max_tokens": 512,
            "choice_count": None,
        }
        assert values["template"] == "c000000000000000"
        assert found["sentence"].startswith("50 of 200 records that share ")
        assert "50 different prompts" in found["sentence"]
        true = {f"r{i}" for i in np.flatnonzero(truth(150, 50, 1))}
        assert {each["request_id"] for each in found["records"]} <= true
        assert len(found["records"]) == 20

    def test_whole_account(self) -> None:
        records = two_uses(0, 80)
        found = json.loads(json.dumps(records_to_look_at(self.table(records), records, limit=7)))
        assert found["part"]["whole_account"]
        assert found["part"]["outside"] is None
        assert found["sentence"].startswith("All 80 records: 80 different prompts")
        assert "outside" not in found["sentence"]
        assert len(found["records"]) == 7

    def test_first_records_are_of_different_topics(self) -> None:
        records = two_uses(150, 50)
        part = part_of(records)
        rows = carrying_records(records, part)
        wanted = min(20, len(np.unique(records.topic[part.rows])))
        assert len(np.unique(records.topic[rows])) == wanted

    def test_other_rows_are_refused(self) -> None:
        records = two_uses(30, 30)
        with pytest.raises(UsageError, match="59 rows for a sequence of 60"):
            records_to_look_at(self.table(records).slice(1), records)


def test_an_account_without_parts_still_has_every_signal() -> None:
    records = two_uses(0, 80)
    assert part_of(records).is_whole
    for name in PARTS:
        assert not math.isnan(SEQUENCE_SIGNALS[name].value(records))
    assert SEQUENCE_SIGNALS["part_size"].value(records) == 1
    assert SEQUENCE_SIGNALS["part_excess"].value(records) == 0
