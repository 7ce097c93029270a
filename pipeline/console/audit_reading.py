"""The record of questions read from its end: what one page shows costs as much in a long record as in a short one.

Lines are met newest first, so what became of a question (a later line) is known before the question is met. A line is
found by its number by halving the file: numbers rise with the place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.sandbox import AuditBroken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BLOCK = 1 << 18
MOST_READ = 20_000
"""Lines that one page looks at: a search for what is rare says how far it got and goes on from there."""

LATER = 2_000
"""Lines after a page in which the outcomes of its newest questions are looked for."""

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are shown; what is empty does not narrow.

    ``outcome`` is of what became of a question: ``answered``, ``refused``, ``failed``, ``killed``, or ``open`` for none.
    """

    who: str = ""
    event: str = ""
    case: str = ""
    outcome: str = ""
    text: str = ""

    def fits(self, line: Mapping[str, Any], end: Mapping[str, Any] | None) -> bool:
        """Whether a line is shown; ``end`` is what became of it."""
        if self.who and line.get("who") != self.who:
            return False
        if self.event and line.get("event") != self.event:
            return False
        if self.case and str(line.get("case") or "") != self.case:
            return False
        if self.outcome and _outcome(line, end) != self.outcome:
            return False
        return not self.text or self.text in _searched(line)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines, newest first, each with ``end``: the line of what became of it, or None.

    ``before`` is the number from which the search goes on, None at the beginning of the record; ``newest`` is the
    number of the record's last line; ``read`` says how many lines were looked at.
    """

    lines: list[Line]
    before: int | None
    newest: int
    read: int


def excerpt(
    path: Path, wanted: Wanted, *, most: int, before: int | None = None, look: int = MOST_READ
) -> Excerpt:
    """The newest lines that are wanted, ``most`` of them, numbered below ``before``.

    Raises
    ------
    AuditBroken
        A line is no JSON object.
    """
    if not path.exists():
        return Excerpt([], None, 0, 0)
    with path.open("rb") as file:
        size = _whole(file)
        newest = _number(file, size)
        place = size if before is None or before > newest else _place(file, size, before)
        ends = {str(line["of"]): line for line in islice(_forwards(file, place, size), LATER) if "of" in line}
        found: list[Line] = []
        read, number = 0, newest + 1
        for line in _backwards(file, place):
            number = int(line["n"])
            if line.get("event") == "ended":
                ends[str(line.get("of"))] = line
            else:
                # What ended comes after what was asked, so it was met already.
                end = ends.pop(str(line.get("hash")), None)
                if wanted.fits(line, end):
                    found.append({**line, "end": end})
            read += 1
            if len(found) == most or read == look:
                break
        return Excerpt(found, number if number > 1 else None, newest, read)


def _outcome(line: Mapping[str, Any], end: Mapping[str, Any] | None) -> str:
    if line.get("event") != "asked":
        return str(line.get("outcome") or "")
    return str(end["outcome"]).partition(":")[0] if end is not None else "open"


def _searched(line: Mapping[str, Any]) -> str:
    return " ".join(
        str(line.get(key, "")) for key in ("sql", "playbook", "parameters", "case", "subject", "hash")
    ).lower()


def _whole(file: BinaryIO) -> int:
    """Where the last whole line ends: a line that is being written is left out."""
    return _begins(file, file.seek(0, 2))


def _backwards(file: BinaryIO, end: int) -> Iterator[Line]:
    """The lines before a place where a line begins, the nearest first."""
    rest = b""
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        block = file.read(end - start) + rest
        lines = block.split(b"\n")
        # The first may have begun in the block before.
        rest = lines.pop(0) if start else b""
        for line in reversed(lines):
            if line:
                yield _parsed(line)
        end = start
    if rest:
        yield _parsed(rest)


def _forwards(file: BinaryIO, place: int, size: int) -> Iterator[Line]:
    file.seek(place)
    while place < size:
        line = file.readline()
        place += len(line)
        yield _parsed(line)


def _number(file: BinaryIO, size: int) -> int:
    return next((int(line["n"]) for line in _backwards(file, size)), 0)


def _place(file: BinaryIO, size: int, number: int) -> int:
    """Where the line of this number begins, or the first after it."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        start = _begins(file, middle)
        file.seek(start)
        line = file.readline()
        if int(_parsed(line)["n"]) < number:
            low = start + len(line)
        else:
            high = start
    return low


def _begins(file: BinaryIO, place: int) -> int:
    """Where the line begins that covers a place."""
    while place:
        start = max(0, place - BLOCK)
        file.seek(start)
        at = file.read(place - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        place = start
    return 0


def _parsed(line: bytes) -> Line:
    try:
        document = json.loads(line)
        document["n"] = int(document["n"])
    except (ValueError, KeyError, TypeError) as error:
        msg = "a line of the record is not one that was written here; `distillwatch audit verify` names it"
        raise AuditBroken(0, msg) from error
    return dict(document)
