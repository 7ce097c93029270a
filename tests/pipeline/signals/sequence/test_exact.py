"""Sums and roundings that no processor decides: against whole numbers and fractions."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from pipeline.signals.sequence import AccountSequence
from pipeline.signals.sequence.base import NEWEST
from pipeline.signals.sequence.exact import GRID, nearest, on_grid
from pipeline.signals.sequence.gap_entropy import SIGNAL as GAP_ENTROPY
from pipeline.signals.sequence.parts import INTERCEPT, PRIOR, WEIGHTS, log_odds, record_terms
from pipeline.signals.sequence.parts_evidence import CHANNELS, FEATURES, channels
from pipeline.signals.sequence.parts_example import two_uses
from pipeline.signals.table import reproducible


def decimal(number: float) -> Fraction:
    """The decimal that a float is written as."""
    return Fraction(str(number))


def exact_odds(features: np.ndarray, records: np.ndarray) -> list[Fraction]:
    """In millionths, not rounded."""
    whole = {name: decimal(value) for name, value in zip(FEATURES, features[0].tolist(), strict=True)}
    out = []
    for row, size in zip(features.tolist(), records.tolist(), strict=True):
        part = {name: decimal(value) for name, value in zip(FEATURES, row, strict=True)}
        shrunk = {name: (size * part[name] + PRIOR * whole[name]) / (size + PRIOR) for name in WEIGHTS}
        out.append(
            10**6 * (decimal(INTERCEPT) + sum(decimal(w) * shrunk[name] for name, w in WEIGHTS.items()))
        )
    return out


def features_of(rng: np.random.Generator, parts: int) -> np.ndarray:
    """Six-digit decimals in the ranges of `FEATURES`."""
    return np.round(rng.random((parts, len(FEATURES))) * [1, 1, 1, 3, 1, 1, 1], 6)


class TestNearest:
    def test_fractions(self) -> None:
        rng = np.random.default_rng(1)
        top, bottom = rng.integers(-(10**14), 10**14, 2000), rng.integers(1, 10**6, 2000)
        # Every other one lies exactly between two.
        bottom[::2] *= 2
        top[::2] = (2 * rng.integers(-(10**8), 10**8, 1000) + 1) * (bottom[::2] // 2)
        expected = [
            math.floor(Fraction(a, b) + Fraction(1, 2))
            for a, b in zip(top.tolist(), bottom.tolist(), strict=True)
        ]
        assert nearest(top, bottom).tolist() == expected


class TestLogOdds:
    def test_weights_have_two_digits(self) -> None:
        for number in (INTERCEPT, *WEIGHTS.values()):
            assert (100 * decimal(number)).denominator == 1

    @pytest.mark.parametrize("tied", [False, True])
    def test_rounded_as_the_fraction_is(self, tied: bool) -> None:
        rng = np.random.default_rng(int(tied))
        ties = 0
        for _ in range(40):
            records = rng.integers(10, NEWEST, 12)
            features = features_of(rng, len(records))
            if tied:
                # The account's own: 154 times the millionths of `again` and the rest of the sum end in 50.
                while exact_odds(features[:1], records[:1])[0] % 1 != Fraction(1, 2):
                    features[:1] = features_of(rng, 1)
                records[1:] = 30
                features[1:] = features[:1]
            exact = exact_odds(features, records)
            ties += sum(each % 1 == Fraction(1, 2) for each in exact)
            expected = [math.floor(each + Fraction(1, 2)) / 10**6 for each in exact]
            assert log_odds(features, records).tolist() == expected
        assert ties == (40 * 12 if tied else ties)

    def test_ties_are_common(self) -> None:
        rng = np.random.default_rng(2)
        tied = [
            exact_odds(features_of(rng, 1), np.array([100]))[0] % 1 == Fraction(1, 2) for _ in range(2000)
        ]
        assert 10 <= sum(tied) <= 40


class TestGrid:
    def test_logarithms_are_far_from_the_middle_of_two_steps(self) -> None:
        counts = range(1, NEWEST + 1)
        with localcontext(prec=40):
            exact = [Decimal(count).ln() * int(GRID) for count in counts]
            steps = [int(each.to_integral_value()) for each in exact]
            assert min(abs(each % 1 - Decimal("0.5")) for each in exact) > Decimal("6e-4")
        assert (on_grid(np.log(counts)) * GRID).tolist() == steps
        # A logarithm here is off by far less than that.
        assert 100 * np.spacing(np.log(NEWEST)) * GRID < 6e-4

    def test_sums_of_channels_are_exact(self) -> None:
        per_record = channels(two_uses(90, 30))
        for column in per_record.T:
            exact = sum(map(Fraction, column.tolist()))
            assert column.any()
            for order in (column, column[::-1], np.sort(column), -np.sort(-column)):
                assert Fraction(float(np.add.accumulate(order)[-1])) == exact

    def test_terms_of_records_are_the_rounded_fraction(self) -> None:
        rng = np.random.default_rng(3)
        per_record = np.zeros((4000, len(CHANNELS)))
        # Cosines of eight binary digits: 117 times an odd 256th ends in a 5 at the tenth digit.
        per_record[:, CHANNELS.index("near_in_time")] = (2 * rng.integers(0, 128, 4000) + 1) / 256
        per_record[:, CHANNELS.index("crowded")] = rng.integers(0, 2, 4000)
        weights = [decimal(WEIGHTS.get(name, 0.0)) for name in CHANNELS]
        exact = [
            float(sum(w * Fraction(x) for w, x in zip(weights, row, strict=True)))
            for row in per_record.tolist()
        ]
        assert record_terms(per_record).tolist() == np.round(exact, 9).tolist()


def test_pauses_on_the_edge_of_a_bin_lie_in_the_upper_one() -> None:
    def entropy(pauses: list[int]) -> float:
        n = len(pauses) + 1
        time = 1_767_225_600_000_000 + np.concatenate([[0], np.cumsum(pauses)])
        return GAP_ENTROPY.value(AccountSequence(np.ones((n, 4), np.int8), time, np.zeros(n, np.int64)))

    for power in range(-6, 12):
        edge = int(10**6 * 2.0**power)
        inside = int(edge * 1.41)
        assert entropy([edge, inside] * 20) == 0
        assert entropy([edge - 1, inside] * 20) > 0
        assert entropy([edge, int(edge * 1.42)] * 20) > 0


def test_zero_has_no_sign() -> None:
    assert np.signbit(reproducible(np.array([-1e-16, -0.0, -1.0]))).tolist() == [False, False, True]
