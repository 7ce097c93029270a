"""Values of signals in words: logarithms are told as the numbers that they stand for."""

from __future__ import annotations

import math

WHOLE = 1e-9
"""Powers of logarithms of whole numbers are whole again but for this."""

BY_SIGN = {
    "more": ("more", "less"),
    "less": ("less", "more"),
    "higher": ("higher", "lower"),
    "closer": ("closer to each other", "farther apart"),
}
"""Words that turn with the sign of a value: the first from zero on, the second below."""


def in_words(says: str, value: float) -> str:
    """``says`` with its numbers filled in.

    ``{value}`` and its ``{size}`` without the sign; ``{doubled}`` (2 to the value) and ``{exponential}``, each also as
    ``{…_less_one}``; and the words of `BY_SIGN`, so that a sentence with ``{size}`` holds on both sides of zero.

    Examples
    --------
    >>> in_words("its answers have {doubled} tokens on average", 10.4)
    'its answers have 1,351 tokens on average'
    >>> in_words("{exponential} times as often", 0.5)
    '1.65 times as often'
    >>> [in_words("{size:.1f} {higher} than the rest", value) for value in (0.5, -0.5)]
    ['0.5 higher than the rest', '0.5 lower than the rest']
    """
    doubled, exponential = _power(2.0, value), _power(math.e, value)
    return says.format(
        value=value,
        size=abs(value),
        doubled=plain(doubled),
        doubled_less_one=plain(doubled - 1),
        exponential=plain(exponential),
        exponential_less_one=plain(exponential - 1),
        **{name: pair[value < 0] for name, pair in BY_SIGN.items()},
    )


def plain(number: float) -> str:
    """About three digits, never in powers of ten; whole numbers as such.

    Examples
    --------
    >>> [plain(number) for number in (1351.2, 26.84, 1.649, 0.0123, 0.0, float("nan"), 8.0)]
    ['1,351', '26.8', '1.65', '0.012', '0', 'nan', '8']
    """
    size = abs(number)
    if not math.isfinite(number):
        return f"{number:.0f}"
    if abs(number - round(number)) < WHOLE:
        return f"{round(number):,}"
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
