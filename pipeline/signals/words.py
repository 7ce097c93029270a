"""Values of signals in words: logarithms are told as the numbers that they stand for."""

from __future__ import annotations

import math


def in_words(says: str, value: float) -> str:
    """``says`` with its numbers filled in: ``{value}``, ``{doubled}`` (2 to the value), ``{doubled_less_one}``, ``{exponential}``.

    Examples
    --------
    >>> in_words("its answers have {doubled} tokens on average", 10.4)
    'its answers have 1,351 tokens on average'
    >>> in_words("{exponential} times as often", 0.5)
    '1.65 times as often'
    """
    return says.format(
        value=value,
        doubled=plain(_power(2.0, value)),
        doubled_less_one=plain(_power(2.0, value) - 1),
        exponential=plain(_power(math.e, value)),
    )


def plain(number: float) -> str:
    """About three digits, never in powers of ten.

    Examples
    --------
    >>> [plain(number) for number in (1351.2, 26.84, 1.649, 0.0123, 0.0, float("nan"))]
    ['1,351', '26.8', '1.65', '0.012', '0', 'nan']
    """
    size = abs(number)
    if not math.isfinite(number) or size == 0:
        return f"{number:.0f}"
    if size >= 100:
        return f"{number:,.0f}"
    if size >= 10:
        return f"{number:.1f}"
    return f"{number:.2f}" if size >= 0.1 else f"{number:.3f}"


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf
