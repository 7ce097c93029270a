"""Sentences of signals: every one can be filled in, and none shows a power."""

from __future__ import annotations

import doctest
import math
import re

import pytest

from pipeline.signals import words
from pipeline.signals.every import EVERY


def test_the_examples_hold():
    assert doctest.testmod(words).failed == 0


@pytest.mark.parametrize("name", list(EVERY))
def test_a_sentence_has_plain_numbers(name):
    for value in (-3.0, 0.0, 0.4, 7.3, 2000.0, math.nan):
        sentence = EVERY[name].sentence(value)
        assert sentence
        assert not any(sign in sentence for sign in ("^", "e+", "e-0", "{", "}"))


@pytest.mark.parametrize("name", list(EVERY))
def test_a_sentence_stands_alone_and_reads_right_on_both_sides_of_zero(name):
    compared = re.compile(r"-[\d.,]+%?( \w+){0,4} (more|less|higher|lower|closer|farther|nearer)\b")
    for value in (-0.6, 0.0, 0.6):
        sentence = EVERY[name].sentence(value)
        assert re.search(r"\bits?\b", sentence), "whose is it?"
        assert not re.search(r"\b(that part|nearer)\b", sentence)
        assert not compared.search(sentence)
        if name.startswith("part_"):
            # It may be the whole account, or no part at all.
            assert re.search(
                r"perhaps all of it|if one stands out|is \S+ of the account|one part of it", sentence
            )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("close_accounts", 1.0, "the accounts with nearly its mean prompt, of the 20 nearest, number 1"),
        ("close_accounts", 0.0, "the accounts with nearly its mean prompt, of the 20 nearest, number 0"),
        (
            "own_against_peers",
            math.log(0.99),
            "the nearest prompt of its peers is 0.99 times as far from a prompt of it as the nearest of its own",
        ),
        (
            "part_output_tokens",
            math.log(851),
            "in the part of it that looks most like a list (perhaps all of it) answers have 850 tokens (geometric mean)",
        ),
        (
            "overlap_deficit",
            -1.5,
            "its nearest accounts share 1.5 standard deviations more with it than usual",
        ),
        (
            "overlap_deficit",
            1.5,
            "its nearest accounts share 1.5 standard deviations less with it than usual",
        ),
    ],
)
def test_sentences_that_once_misled(name, value, sentence):
    assert EVERY[name].sentence(value) == sentence
