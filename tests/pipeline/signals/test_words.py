"""Sentences of signals: every one can be filled in, and none shows a power."""

from __future__ import annotations

import doctest
import math

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
