"""How values are written: short, aligned, and the same everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pipeline.warehouse.tree import load_tree

NOTHING = "\u2013"

DECISIONS = {
    "alert": ("\u25b2", "alert"),
    "allowed": ("\u25c6", "allowed"),
    "clear": ("\u25cb", "clear"),
    "cannot_tell": ("\u25cc", "cannot tell"),
}
"""A shape and a word for each decision: colour is only a third sign."""

VERDICTS = {
    "attack": ("\u25b2", "attack"),
    "benign": ("\u25cb", "benign"),
    "allowed": ("\u25c6", "allowed"),
    "undecided": ("\u25cc", "undecided"),
    "withdrawn": ("\u21b6", "withdrawn"),
}


def number(value: float | None, digits: int = 4) -> str:
    """A number as people read it: thousands apart, few digits, no exponent where none is needed."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, int):
        return f"{value:,}"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """A share in per cent."""
    if value is None:
        return NOTHING
    if 0 < value < 0.001:
        return "<0.1%"
    return f"{value:.0%}" if value in {0, 1} else f"{value:.1%}"


def when(value: object, *, seconds: bool = False) -> str:
    """A time, UTC, to the minute."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        try:
            return when(datetime.fromisoformat(value), seconds=seconds)
        except ValueError:
            return value
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    return str(value)


def ago(value: timedelta | float | None) -> str:
    """How long, in the largest unit that fits."""
    if value is None:
        return NOTHING
    left = value.total_seconds() if isinstance(value, timedelta) else float(value)
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if left >= size:
            return f"{left / size:.0f} {name}"
    return f"{left:.0f} s"


def brief(text: str, most: int = 22) -> str:
    """The beginning and the end of a long name."""
    return text if len(text) <= most else f"{text[: most - 7]}\u2026{text[-6:]}"


def ending(text: str, most: int = 7) -> str:
    """The end of a long name: names of one system begin alike."""
    return text if len(text) <= most else f"\u2026{text[-(most - 1) :]}"


def cell(value: Any) -> str:  # noqa: PLR0911 -- one for each kind of value
    """Any value of an answer."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, datetime):
        return when(value, seconds=value.second != 0)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"{value[:8].hex()}\u2026 ({len(value)} bytes)" if len(value) > 8 else value.hex()
    if isinstance(value, list):
        shown = ", ".join(cell(each) for each in value[:6])
        return f"{shown}, \u2026 ({len(value)})" if len(value) > 6 else shown or NOTHING
    if isinstance(value, dict):
        return ", ".join(f"{name} {cell(each)}" for name, each in value.items())
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}\u2026"


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text: between backticks or not, and whether it names a playbook."""

    text: str
    code: bool
    playbook: bool


def ticks(text: str) -> list[Piece]:
    """A header's words, taken apart at backticks; lines are joined."""
    known = {file.name for file in load_tree()["playbooks"]}
    pieces = " ".join(text.split()).split("`")
    return [
        Piece(piece, number % 2 == 1, number % 2 == 1 and piece in known)
        for number, piece in enumerate(pieces)
        if piece
    ]
