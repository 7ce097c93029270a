"""Numbers as sentences write them."""

from __future__ import annotations

import math


def p_text(value: float | None) -> str:
    """A p-value as people read it.

    Examples
    --------
    >>> p_text(0.034), p_text(None)
    ('0.034', 'none')
    """
    if value is None or math.isnan(value):
        return "none"
    if value >= 0.001:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} \N{MULTIPLICATION SIGN} 10{str(int(exponent)).translate(_RAISED)}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def one_in(value: float) -> str:
    """A small chance as "1 in so many", at two digits.

    Examples
    --------
    >>> one_in(0.00092), one_in(8.3e-6), one_in(0.4)
    ('1 in 1,100', '1 in 120,000', '1 in 2.5')
    """
    if value <= 0:
        return "none"
    times = 1 / value
    if times < 10:
        return f"1 in {times:.2g}"
    digits = max(0, int(math.log10(times)) - 1)
    return f"1 in {round(times, -digits):,.0f}"


def expected(number: float) -> str:
    """An expected count.

    Examples
    --------
    >>> expected(0.0031), expected(2.04), expected(0.00001)
    ('0.003', '2', 'less than 0.001')
    """
    if number < 0.001:
        return "less than 0.001"
    return f"{number:.1g}" if number < 1 else f"{number:.2g}"


def nth(number: int) -> str:
    """An ordinal.

    Examples
    --------
    >>> [nth(n) for n in (2, 3, 4, 11, 21)]
    ['2nd', '3rd', '4th', '11th', '21st']
    """
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def listed(words: list[str]) -> str:
    """Words in a row.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
