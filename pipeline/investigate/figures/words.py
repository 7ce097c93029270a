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
    return "none" if value <= 0 else f"1 in {plainly(1 / value)}"


def expected(number: float) -> str:
    """An expected count.

    Examples
    --------
    >>> expected(0.0031), expected(2.04), expected(222.3), expected(5590), expected(0.00001)
    ('0.003', '2', '220', '5,600', 'less than 0.001')
    """
    if number < 0.001:
        return "less than 0.001"
    return f"{number:.1g}" if number < 1 else plainly(number)


def plainly(number: float) -> str:
    """A number from 1 at two digits, never in powers of ten.

    Examples
    --------
    >>> [plainly(each) for each in (1, 2.04, 9.96, 99.6, 222.3, 1e12)]
    ['1', '2', '10', '100', '220', '1,000,000,000,000']
    """
    if number < 9.95:
        return f"{number:.2g}"
    return f"{round(number, 1 - int(math.log10(number))):,.0f}"


DECISIONS = {"cannot_tell": "cannot tell"}


def decision_text(decision: str | None) -> str:
    """What a scoring decided, in words.

    Examples
    --------
    >>> decision_text("cannot_tell"), decision_text("clear"), decision_text(None)
    ('cannot tell', 'clear', 'none')
    """
    return "none" if decision is None else DECISIONS.get(decision, decision)


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
