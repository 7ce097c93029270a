"""Numbers with their nouns, as sentences say them."""

from __future__ import annotations


def counted(number: float, one: str, many: str | None = None) -> str:
    """A number and its noun; ``many`` is the noun of several, by default with an s. Sums that come as floats are whole all the same.

    Examples
    --------
    >>> counted(1, "record"), counted(1200.0, "record"), counted(2, "country", "countries")
    ('1 record', '1,200 records', '2 countries')
    """
    if number == int(number):
        number = int(number)
    return f"{number:,} {one if number == 1 else many or one + 's'}"
